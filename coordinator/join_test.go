package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/coordinator/membership"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/coordinator/view"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
)

// joiners are coordinators that find each other.
type joiners struct {
	t         *testing.T
	store     *memory.Opener
	dir       string
	certs     string
	addresses map[string][2]string // API and raft
	join      []string             // of all
	expect    int
	dead      time.Duration
	nodes     map[string]*running
}

func newJoiners(t *testing.T, expect int, ids ...string) *joiners {
	j := &joiners{t: t, store: memory.NewOpener("thalweg"), dir: t.TempDir(), expect: expect, addresses: make(map[string][2]string), nodes: make(map[string]*running)}
	names := []string{"user-ada"}
	for _, id := range ids {
		names = append(names, "coordinator-"+id)
		j.addresses[id] = [2]string{freeAddress(t), freeAddress(t)}
	}
	for _, id := range ids[:min(3, len(ids))] {
		j.join = append(j.join, j.addresses[id][0])
	}
	j.certs = certificates(t, names...)
	t.Cleanup(func() {
		for id := range j.nodes {
			j.stop(id)
		}
	})
	return j
}

// givenAddresses are those that tests have: nodes that are away keep theirs.
var givenAddresses sync.Map

func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(7_000))
		if _, given := givenAddresses.LoadOrStore(address, true); given {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no free port")
	return ""
}

func (j *joiners) start(id string) {
	j.t.Helper()
	a := j.addresses[id]
	j.nodes[id] = runNode(j.t, slog.New(slog.DiscardHandler), Config{SpecCatalog: catalog.All(), ID: id, Stages: specStages, Dir: filepath.Join(j.dir, id),
		Records:     func(ctx context.Context) (storage.Bucket, error) { return j.store.Bucket(ctx, "thalweg") },
		Credentials: credentials(j.t, filepath.Join(j.certs, "coordinator-"+id)),
		Auth:        &auth.Config{Users: map[string]auth.Grant{"ada": {Role: auth.Admin, Pipelines: auth.Scope{"*"}}}},
		Join:        membership.Join{API: a[0], Raft: a[1], Addresses: j.join, Expect: j.expect, RemoveDeadAfter: j.dead},
		APIListen:   a[0], RaftListen: a[1], Raft: raftnode.Timing{ElectionTimeout: 300 * time.Millisecond}, LeaseTTL: 600 * time.Millisecond})
}

func (j *joiners) stop(id string) {
	j.t.Helper()
	r := j.nodes[id]
	delete(j.nodes, id)
	r.stop()
	if err := <-r.done; err != nil {
		j.t.Errorf("node %s: %v", id, err)
	}
}

// removed waits until a node that was removed ends: by itself, or told where what it holds
// is, as one that the others may have forgotten is.
func (j *joiners) removed(id string) {
	j.t.Helper()
	select {
	case err := <-j.nodes[id].done:
		delete(j.nodes, id)
		if err != nil && (!thalweg.Is(err, thalweg.Lost) || !strings.Contains(err.Error(), "move "+filepath.Join(j.dir, id)+" away")) {
			j.t.Errorf("the removed node %s: %v", id, err)
		}
	case <-time.After(patience):
		j.t.Fatalf("the removed node %s goes on", id)
	}
}

func (j *joiners) client(ids ...string) *api.Client {
	j.t.Helper()
	var addresses []string
	for _, id := range ids {
		addresses = append(addresses, j.addresses[id][0])
	}
	client, err := api.NewClient(api.Config{Addresses: addresses, TLS: credentials(j.t, filepath.Join(j.certs, "user-ada")).Client(pki.Coordinator, "")})
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(client.Close)
	return client
}

// settle waits until the nodes are the voters, one of them leads, and each of them
// says the same.
func (j *joiners) settle(ids ...string) {
	j.t.Helper()
	deadline := time.Now().Add(patience)
	for _, id := range ids {
		client := j.client(id)
		for {
			var at []string
			status, err := client.Status(j.t.Context(), &apiv1.StatusRequest{})
			if err == nil && status.Leader != "" {
				for _, n := range status.Nodes {
					if n.State == view.NodeLeader || n.State == view.NodeFollower {
						at = append(at, n.Id)
					}
				}
			}
			if slices.Equal(at, ids) && len(status.Nodes) == len(ids) {
				break
			}
			if time.Now().After(deadline) {
				j.t.Fatalf("node %s: %v, %v; want %v", id, status, err, ids)
			}
			if retry.Sleep(j.t.Context(), 20*time.Millisecond) != nil {
				j.t.Fatal(j.t.Context().Err())
			}
		}
	}
}

// TestOneClusterIsFounded whatever the order in which its first nodes start, and
// though one of them starts again meanwhile.
func TestOneClusterIsFounded(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			ids := []string{"c1", "c2", "c3"}
			j := newJoiners(t, 3, ids...)
			order := slices.Clone(ids)
			random.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
			for i, id := range order {
				j.start(id)
				if i == 2 || random.IntN(2) == 0 {
					again := order[random.IntN(i+1)]
					j.stop(again)
					j.start(again)
				}
			}
			j.settle(ids...)
			founders := 0
			for _, id := range ids {
				if f := j.nodes[id].node.Founding(); f == nil || f.Founder != j.nodes[ids[0]].node.Founding().Founder {
					t.Errorf("%s has consented to %v", id, f)
				} else if f.Founder == id {
					founders++
				}
			}
			if founders != 1 {
				t.Errorf("%d nodes consented to themselves", founders)
			}
		})
	}
}

// TestMembersComeAndGo: one whose disk is lost, one more, one that is removed and one
// that is dead, while what was applied stays.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	j := newJoiners(t, 3, "c1", "c2", "c3", "c4", "c5")
	j.dead = 2 * time.Second
	for _, id := range []string{"c1", "c2", "c3"} {
		j.start(id)
	}
	j.settle("c1", "c2", "c3")
	client := j.client("c1", "c2", "c3", "c4")
	if _, err := client.Apply(t.Context(), &apiv1.ApplyRequest{Spec: specText("p", 1), File: "p.yaml"}); err != nil {
		t.Fatal(err)
	}
	applied := func(id string) {
		t.Helper()
		list, err := j.client(id).ListPipelines(t.Context(), &apiv1.ListPipelinesRequest{})
		if err != nil || len(list.Pipelines) != 1 {
			t.Errorf("node %s: %v, %v; want the pipeline", id, list, err)
		}
	}
	// A lost disk.
	j.stop("c2")
	if err := os.RemoveAll(filepath.Join(j.dir, "c2")); err != nil {
		t.Fatal(err)
	}
	j.start("c2")
	j.settle("c1", "c2", "c3")
	applied("c2")
	// Other addresses.
	j.stop("c3")
	j.addresses["c3"] = [2]string{freeAddress(t), freeAddress(t)}
	j.start("c3")
	j.settle("c1", "c2", "c3")
	applied("c3")
	// One more, and a dead one, which is removed since three stay.
	j.start("c4")
	j.settle("c1", "c2", "c3", "c4")
	applied("c4")
	j.stop("c1")
	j.settle("c2", "c3", "c4")
	// The dead one is not taken back with what it held, which may be old.
	j.start("c1")
	j.removed("c1")
	// On request, the leader too, which ends.
	status, err := client.Status(t.Context(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := client.RemoveMember(t.Context(), &apiv1.RemoveMemberRequest{Id: status.Leader}); err != nil || len(left.Members) != 2 {
		t.Fatalf("%v, %v; want two to be left", left, err)
	}
	j.removed(status.Leader)
	left := []string{}
	for _, id := range []string{"c2", "c3", "c4"} {
		if id != status.Leader {
			left = append(left, id)
		}
	}
	j.settle(left...)
	applied(left[0])
	if _, err := client.RemoveMember(t.Context(), &apiv1.RemoveMemberRequest{Id: "c9"}); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("a stranger was removed: %v", err)
	}
}

// A node that has lost its disk while the others are away founds no second cluster with
// nodes that are to join: all go on as one once the others are back.
func TestANodeWithoutItsDiskFoundsNoSecondCluster(t *testing.T) {
	t.Parallel()
	j := newJoiners(t, 3, "c1", "c2", "c3", "c4", "c5")
	for _, id := range []string{"c1", "c2", "c3"} {
		j.start(id)
	}
	j.settle("c1", "c2", "c3")
	if _, err := j.client("c1", "c2", "c3").Apply(t.Context(), &apiv1.ApplyRequest{Spec: specText("p", 1), File: "p.yaml"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"c1", "c2", "c3"} {
		j.stop(id)
	}
	if err := os.RemoveAll(filepath.Join(j.dir, "c1")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"c1", "c4", "c5"} {
		j.start(id)
	}
	j.meet("c1", "c4", "c5")
	for _, id := range []string{"c2", "c3"} {
		j.start(id)
	}
	j.settle("c1", "c2", "c3", "c4", "c5")
	list, err := j.client("c1").ListPipelines(t.Context(), &apiv1.ListPipelinesRequest{})
	if err != nil || len(list.Pipelines) != 1 {
		t.Errorf("%v, %v; want the pipeline", list, err)
	}
}

// meet waits until each of the nodes has sought a cluster for several rounds, and fails
// if one belongs to any.
func (j *joiners) meet(ids ...string) {
	j.t.Helper()
	for range 15 {
		if retry.Sleep(j.t.Context(), 100*time.Millisecond) != nil {
			j.t.Fatal(j.t.Context().Err())
		}
		for _, id := range ids {
			if !j.nodes[id].node.Empty() {
				j.t.Fatalf("%s belongs to a cluster of %v", id, j.nodes[id].node.Members())
			}
		}
	}
}

// With a dead follower, the living one is not removed by mistake.
func TestAMemberIsNotRemovedWithoutWhomThereIsNoMajority(t *testing.T) {
	t.Parallel()
	j := newJoiners(t, 3, "c1", "c2", "c3")
	for _, id := range []string{"c1", "c2", "c3"} {
		j.start(id)
	}
	j.settle("c1", "c2", "c3")
	client := j.client("c1", "c2", "c3")
	status, err := client.Status(t.Context(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	followers := slices.DeleteFunc([]string{"c1", "c2", "c3"}, func(id string) bool { return id == status.Leader })
	j.stop(followers[0])
	if _, err := client.RemoveMember(t.Context(), &apiv1.RemoveMemberRequest{Id: followers[1]}); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "majority") {
		t.Errorf("%s is removed while %s is dead: %v", followers[1], followers[0], err)
	}
	if _, err := client.Apply(t.Context(), &apiv1.ApplyRequest{Spec: specText("p", 1), File: "p.yaml"}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := client.RemoveMember(t.Context(), &apiv1.RemoveMemberRequest{Id: followers[0]}); err != nil {
		t.Errorf("the dead one: %v", err)
	}
}
