package membership

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/retry"
)

const (
	// seekEvery is how often a node that belongs to no cluster asks the others, and
	// attendEvery one that does whether there is something to tell them.
	seekEvery   = 200 * time.Millisecond
	attendEvery = time.Second
	// sayEvery bounds how often it is logged what the node waits for.
	sayEvery = 10 * time.Second
	// farAhead is by how much a node's log is ahead of its leader's only where it took a
	// restore that the others did not: restores jump by twice as much.
	farAhead = 1 << 31
	aheadFor = 10 * time.Second
)

// Belong makes this node one of a cluster, keeps the others told of its addresses,
// and returns when ctx ends or the cluster has removed it.
func (c *Cluster) Belong(ctx context.Context) error {
	say := &saying{c: c}
	for {
		wait := attendEvery
		if c.node.Empty() {
			wait = seekEvery
			say.why(c.seek(ctx))
		} else if end, err := c.attend(ctx); end {
			return err
		}
		if retry.Sleep(ctx, wait) != nil {
			return nil
		}
	}
}

// saying tells what a node waits for, each reason at once and then seldom.
type saying struct {
	c    *Cluster
	last string
	at   time.Time
}

func (s *saying) why(err error) {
	if err == nil || err.Error() == s.last && time.Since(s.at) < sayEvery {
		return
	}
	s.last, s.at = err.Error(), time.Now()
	s.c.log.Info("this node belongs to no cluster yet", keyReason, err)
}

// ask says hello to all addresses at once and returns the answers of other nodes.
func (c *Cluster) ask(ctx context.Context, addresses []string) (answers []hello, failed error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	slices.Sort(addresses)
	for _, address := range slices.Compact(addresses) {
		if address == "" || address == c.cfg.Join.API {
			continue
		}
		group.Go(func() {
			var h hello
			err := c.call(ctx, address, auth.HelloPath, c.hello(), &h)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = err
			case h.From.ID != c.cfg.ID:
				answers = append(answers, h)
			}
		})
	}
	group.Wait()
	for _, h := range answers {
		c.heard(h)
	}
	return answers, failed
}

// heard notes what a node said of itself. What it said of others is asked of them.
func (c *Cluster) heard(h hello) {
	switch {
	case len(h.Members) > 0 && h.Cluster != c.node.Cluster():
		c.met.forget(h.From.ID)
	case len(h.Members) > 0:
		c.met.forget(h.From.ID)
		if h.Leader == h.From.ID {
			c.compare(h.Applied)
		}
		for _, m := range c.node.Members() {
			if m.ID == h.From.ID && m.Peer != h.From {
				c.node.Learn(h.From)
			}
		}
	case h.From.ID != c.cfg.ID:
		c.met.note(h.From)
	}
}

// compare notes since when this node's log is far ahead of the leader's: an answer from
// just before a restore says so too.
func (c *Cluster) compare(leads uint64) {
	if c.node.AppliedIndex() > leads+farAhead {
		c.ahead.CompareAndSwap(0, time.Now().UnixNano())
	} else {
		c.ahead.Store(0)
	}
}

// seek looks for a cluster to join, or founds one with the others that belong to none.
func (c *Cluster) seek(ctx context.Context) error {
	addresses := slices.Clone(c.cfg.Join.Addresses)
	for _, p := range c.met.all() {
		addresses = append(addresses, p.API)
	}
	answers, failed := c.ask(ctx, addresses)
	for _, h := range slices.Clone(answers) { // those whom the others have met
		addresses = addresses[:0]
		for _, p := range h.Met {
			if !slices.ContainsFunc(answers, func(a hello) bool { return a.From.ID == p.ID }) {
				addresses = append(addresses, p.API)
			}
		}
		more, _ := c.ask(ctx, addresses)
		answers = append(answers, more...)
	}
	for _, h := range answers {
		if len(h.Members) > 0 {
			return c.join(ctx, h)
		}
	}
	if failed != nil && c.cfg.Join.Expect > 0 {
		// One that does not answer may belong to a cluster, and this node have lost its disk.
		return errors.Join(errors.New("a cluster is founded once each address of --join answers"), failed)
	}
	first := append(c.met.all(), c.self())
	slices.SortFunc(first, func(a, b raftnode.Peer) int { return strings.Compare(a.ID, b.ID) })
	expect := c.cfg.Join.Expect
	switch {
	case expect == 0 && failed != nil:
		return failed
	case expect == 0:
		return fmt.Errorf("none of %s belongs to a cluster, and without --bootstrap-expect this node founds none", strings.Join(c.cfg.Join.Addresses, ", "))
	case len(first) < expect:
		return errors.Join(fmt.Errorf("%d of %d nodes are known: %s", len(first), expect, names(first)), failed)
	case first[0].ID != c.cfg.ID:
		return fmt.Errorf("%s is to found the cluster of %s", first[0].ID, names(first))
	}
	return c.found(ctx, first)
}

func names(peers []raftnode.Peer) string {
	var ids []string
	for _, p := range peers {
		ids = append(ids, p.ID)
	}
	return strings.Join(ids, ", ")
}

// join asks to be a member of the cluster that a node belongs to.
func (c *Cluster) join(ctx context.Context, h hello) error {
	f := c.node.Founding()
	if f != nil && f.Founder == "" && f.Cluster != h.Cluster {
		return fmt.Errorf("it has been taken for a member of another cluster than that of %s: empty %s if it is to join this one", h.From.ID, c.cfg.Dir)
	}
	if f != nil && f.Founder != "" {
		if h.Cluster == f.Cluster && slices.ContainsFunc(h.Members, func(m raftnode.Member) bool { return m.ID == c.cfg.ID }) {
			c.node.Founded()
			return fmt.Errorf("%s has founded the cluster, and its log is on the way", f.Founder)
		}
		if h.Cluster != f.Cluster && f.Founder != c.cfg.ID {
			if err := c.released(ctx, f); err != nil {
				return err
			}
		}
	}
	leader := slices.IndexFunc(h.Members, func(m raftnode.Member) bool { return m.ID == h.Leader })
	if leader < 0 {
		return fmt.Errorf("the cluster of %s has no leader", h.From.ID)
	}
	done, err := c.decide(ctx)
	if err != nil {
		return err
	}
	defer done()
	var answer joinAnswer
	if err := c.call(ctx, h.Members[leader].API, auth.JoinPath, joinRequest{From: c.self(), Empty: true}, &answer); err != nil {
		return err
	}
	if err := c.node.Consent(raftnode.Founding{Cluster: answer.Cluster}); err != nil {
		return err
	}
	c.node.Admit()
	return fmt.Errorf("%s has taken this node for a member, and its log is on the way", h.Leader)
}

// attend keeps the others told where this node is. It reports whether the node's
// time is over.
func (c *Cluster) attend(ctx context.Context) (end bool, err error) {
	if since := c.ahead.Load(); since != 0 && time.Since(time.Unix(0, since)) > aheadFor {
		return true, &thalweg.Error{Op: "belong to cluster", Kind: thalweg.Corrupt, Subject: "coordinator " + c.cfg.ID,
			Hint: "move " + c.cfg.Dir + " away and start it again: it gets the state from the others",
			Err:  fmt.Errorf("it holds log entry %d, of a restore that the others did not take", c.node.AppliedIndex())}
	}
	own, is := c.node.Configured(c.cfg.ID)
	leader := c.node.Leader()
	switch {
	case !is:
		return c.isRemoved(ctx), nil
	case own.Peer == c.self() && leader != "":
		c.followed = time.Now()
		return false, nil
	case leader == c.cfg.ID:
		own.Peer = c.self()
		if err := c.node.Put(own); err != nil {
			c.log.Debug("the address of this node was not changed", keyError, err)
		}
		return false, nil
	}
	for _, h := range c.ofCluster(ctx, c.addresses()) {
		at := slices.IndexFunc(h.Members, func(m raftnode.Member) bool { return m.ID == h.Leader })
		if at < 0 || h.Leader == c.cfg.ID {
			continue
		}
		err := c.call(ctx, h.Members[at].API, auth.JoinPath, joinRequest{From: c.self(), Cluster: c.node.Cluster()}, &joinAnswer{})
		if thalweg.Is(err, thalweg.Lost) && time.Since(c.followed) < c.cfg.Join.RemoveDeadAfter {
			c.log.Info("this node was removed from the cluster on request, and ends")
			return true, nil
		}
		if thalweg.Is(err, thalweg.Lost) {
			return true, &thalweg.Error{Op: "belong to cluster", Kind: thalweg.Lost, Subject: "coordinator " + c.cfg.ID,
				Hint: "move " + c.cfg.Dir + " away to start it as a new member", Err: err}
		}
		break
	}
	return false, nil
}

// addresses are where others of the cluster may be.
func (c *Cluster) addresses() []string {
	addresses := slices.Clone(c.cfg.Join.Addresses)
	for _, m := range c.node.Members() {
		addresses = append(addresses, m.API)
	}
	return addresses
}

// ofCluster asks all addresses and returns the answers of nodes that belong to this
// one's cluster.
func (c *Cluster) ofCluster(ctx context.Context, addresses []string) []hello {
	answers, _ := c.ask(ctx, addresses)
	return slices.DeleteFunc(answers, func(h hello) bool { return len(h.Members) == 0 || h.Cluster != c.node.Cluster() })
}

// isRemoved asks the leader whether this node is no member any more. The node's own
// log does not tell: that of a new member begins before it was added.
func (c *Cluster) isRemoved(ctx context.Context) bool {
	for _, h := range c.ofCluster(ctx, c.addresses()) {
		if h.From.ID == h.Leader && !slices.ContainsFunc(h.Members, func(m raftnode.Member) bool { return m.ID == c.cfg.ID }) {
			c.log.Info("this node was removed from the cluster, and ends")
			return true
		}
	}
	return false
}

// found founds a cluster of the nodes, once all of them consent.
func (c *Cluster) found(ctx context.Context, members []raftnode.Peer) error {
	f := raftnode.Founding{Cluster: rand.Text(), Founder: c.cfg.ID, Members: members}
	if now := c.node.Founding(); now != nil && now.Founder == c.cfg.ID && slices.Equal(now.Members, members) {
		f.Cluster = now.Cluster // it goes on
	}
	if err := c.consent(ctx, f); err != nil {
		return err
	}
	for _, p := range members {
		if p.ID == c.cfg.ID {
			continue
		}
		if err := c.call(ctx, p.API, auth.ConsentPath, f, &struct{}{}); err != nil {
			return err
		}
	}
	done, err := c.decide(ctx)
	if err != nil {
		return err
	}
	defer done()
	if now := c.node.Founding(); now.Cluster != f.Cluster {
		return errors.New("another node is to found the cluster")
	}
	if err := c.node.Found(members); err != nil {
		return err
	}
	c.log.Info("this node has founded a cluster", "members", names(members))
	return nil
}

// consent consents to a cluster that another node or this one founds. A node has
// consented to one founder at a time, and changes that only when the earlier one
// cannot found any more: it is this node, which has not, or says that it has
// consented to another. So no two nodes ever have everybody's consent.
func (c *Cluster) consent(ctx context.Context, f raftnode.Founding) error {
	refuse := func(err error) error {
		return &thalweg.Error{Op: "found cluster", Kind: thalweg.Conflict, Subject: "consent of " + c.cfg.ID, Err: err}
	}
	if !slices.ContainsFunc(f.Members, func(p raftnode.Peer) bool { return p.ID == c.cfg.ID }) || len(f.Members) > maxMembers {
		return refuse(errors.New("it is not one of the members"))
	}
	done, err := c.decide(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !c.node.Empty() {
		return refuse(errors.New("it belongs to a cluster"))
	}
	before := c.node.Founding()
	switch {
	case before == nil || before.Founder == f.Founder:
	case before.Founder == "":
		return refuse(errors.New("it is about to join a cluster"))
	case before.Founder == c.cfg.ID:
		if f.Founder > c.cfg.ID {
			return refuse(errors.New("it is about to found one itself"))
		}
	default:
		if err := c.released(ctx, before); err != nil {
			return refuse(err)
		}
	}
	return c.node.Consent(f)
}

// released reports why the cluster to which this node has consented may still be
// founded, nil if it cannot: the founder says that it has another by now.
func (c *Cluster) released(ctx context.Context, f *raftnode.Founding) error {
	at := slices.IndexFunc(f.Members, func(p raftnode.Peer) bool { return p.ID == f.Founder })
	if at < 0 {
		return errors.New("its own records are wrong")
	}
	var h hello
	if err := c.call(ctx, f.Members[at].API, auth.HelloPath, c.hello(), &h); err != nil {
		return fmt.Errorf("it has consented to %s, which does not say whether it still holds: %w", f.Founder, err)
	}
	if h.From.ID != f.Founder || h.Cluster == f.Cluster || h.Founder == f.Founder && len(h.Members) == 0 {
		return fmt.Errorf("it has consented to %s", f.Founder)
	}
	return nil
}

// admit takes a node for a member, or its new addresses, as the leader.
func (c *Cluster) admit(ctx context.Context, in joinRequest) error {
	if err := c.cfg.WaitLeading(ctx); err != nil {
		return err
	}
	if !in.Empty && in.Cluster != c.node.Cluster() {
		return &thalweg.Error{Op: "admit member", Kind: thalweg.Conflict, Subject: in.From.ID, Err: errors.New("it belongs to another cluster")}
	}
	done, err := c.decide(ctx) // one at a time
	if err != nil {
		return err
	}
	defer done()
	known, is := c.node.Configured(in.From.ID)
	switch {
	case !is && !in.Empty:
		return &thalweg.Error{Op: "admit member", Kind: thalweg.Lost, Subject: in.From.ID, Err: errors.New("it was removed from the cluster")}
	case !is && len(c.node.Members()) >= maxMembers:
		return &thalweg.Error{Op: "admit member", Kind: thalweg.Exhausted, Subject: in.From.ID, Hint: "remove another first",
			Err: fmt.Errorf("there are %d", maxMembers)}
	case is && in.Empty && known.Voter:
		// What it has promised is lost, so its vote counts no more until it has all.
		if err := c.node.Remove(in.From.ID); err != nil {
			return err
		}
		known.Voter = false
	case is && known.Peer == in.From:
		return nil
	}
	c.log.Info("a coordinator joins, or has moved", keyMember, in.From.ID, keyAddress, in.From.API)
	return c.node.Put(raftnode.Member{Peer: in.From, Voter: known.Voter})
}
