package coordinator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// TestABodyThatDoesNotArriveEndsItsRequest: a client that stalls holds nothing of
// a node for long.
func TestABodyThatDoesNotArriveEndsItsRequest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.BodyTimeout = 50 * time.Millisecond })
	c.leader()
	conn, err := net.Dial("tcp", c.peers[0].API)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"spec\": \"",
		apiv1.CoordinatorServiceApplyProcedure); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 400 {
		t.Errorf("status %s", resp.Status)
	}
}

// TestWhatIsNotReadOfABodyIsNoRequest: it is thrown away with its connection, by who leads
// and by who passes the request on.
func TestWhatIsNotReadOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	c.leader()
	for _, p := range c.peers {
		body := strings.Repeat("GET /healthz HTTP/1.1\r\nHost: "+p.API+"\r\n\r\n", 50_000)
		conn, err := net.Dial("tcp", p.API)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
				apiv1.CoordinatorServiceGetRunProcedure, p.API, len(body), body) // it ends where the node closes the connection
		}()
		answers, _ := io.ReadAll(conn)
		<-sent
		if n := bytes.Count(answers, []byte("HTTP/1.1 ")); n != 1 || !bytes.HasPrefix(answers, []byte("HTTP/1.1 429 ")) {
			t.Errorf("%d answers of %s to a request with too large a body: %.2000s", n, p.ID, answers)
		}
	}
}

// TestPollsWaitLongerThanBodiesMay: the time is for reading, and waiting is free.
func TestPollsWaitLongerThanBodiesMay(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, func(cfg *Config) { cfg.BodyTimeout, cfg.LeaseTTL = 20*time.Millisecond, 900*time.Millisecond })
	c.leader()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // HTTP/1.1
	poll := func(known string) (answer struct{ LeasesHash string }) {
		body := fmt.Sprintf(`{"workerId": "w1", "incarnation": "i", "slots": 1, "waitMs": 10000, "knownLeases": %q}`, known)
		resp, err := client.Post("http://"+c.peers[0].API+apiv1.CoordinatorServicePollProcedure, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %s, %v", resp.Status, err)
		}
		return answer
	}
	known := poll("").LeasesHash
	began := time.Now()
	if again := poll(known).LeasesHash; again != known {
		t.Errorf("leases %q, then %q", known, again)
	}
	if _, err := c.client().Poll(c.ctx(), &apiv1.PollRequest{WorkerId: "w1", Incarnation: "i", Slots: 1, WaitMs: 10000, KnownLeases: known}); err != nil {
		t.Errorf("in HTTP/2: %v", err)
	}
	if waited := time.Since(began); waited < 100*time.Millisecond {
		t.Errorf("the poll waited for %v: the test shows nothing", waited)
	}
}

// TestASpecIsNotReadForACallerWhoHasLeft: reading takes a core, one at a time.
func TestASpecIsNotReadForACallerWhoHasLeft(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	leader := c.nodes[c.leader()]
	leader.reading <- struct{}{} // as while another spec is read
	ctx, cancel := context.WithTimeout(c.ctx(), 20*time.Millisecond)
	defer cancel()
	_, err := (&service{leader.Coordinator}).Apply(ctx, &apiv1.ApplyRequest{File: "a.yaml", Spec: specText("flights", 1)})
	wantKind(t, "apply behind another spec", err, thalweg.Canceled)
	<-leader.reading
	cancel()
	_, err = (&service{leader.Coordinator}).Apply(ctx, &apiv1.ApplyRequest{File: "a.yaml", Spec: specText("flights", 1)})
	wantKind(t, "apply of a caller who has left", err, thalweg.Canceled)
	if applied := c.apply(c.client(), "flights", 1); !applied.Changed {
		t.Error("what was not read was applied")
	}
}

// TestANodeDescribesItsAPI, one that leads nothing too.
func TestANodeDescribesItsAPI(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + c.peers[0].API + "/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.Header.Get("Content-Type") != "application/yaml" || !bytes.Contains(body, []byte("\nopenapi: 3.1.0\n")) ||
		!bytes.Contains(body, []byte(apiv1.CoordinatorServiceApplyProcedure)) {
		t.Errorf("%v, %s, %.200s", err, resp.Header, body)
	}
}
