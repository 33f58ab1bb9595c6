package crashtest

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/crash"
)

// lateAfter is how late a request arrives whose connection dropped.
const lateAfter = 2 * time.Second

// Process is what a gate does to the process whose steps pass it.
type Process struct {
	// Exit ends it at once. Where it returns, the gate lets nothing pass any more.
	Exit func()
	// Stall stops it, and returns when it goes on. The gate lets nothing pass
	// meanwhile.
	Stall func()
}

// Gate is where the steps of one process pass. Its methods may be called
// concurrently.
type Gate struct {
	script  *Script
	process Process
	mu      struct {
		sync.Mutex
		dead    bool
		stalled chan struct{}     // closed when it continues; nil: it runs
		next    map[seam][]Action // what happens to the next call of a seam, or of any
		mine    map[string]bool   // objects that were tried to create
		merging bool              // the newest claim was a compaction's
	}
}

// seam is one of the connections of a process.
type seam uint8

const (
	ofAny seam = iota
	ofStore
	ofTopic  // a broker's
	ofItself // none: a step of the process itself
)

// NewGate returns the gate of a process that follows script.
func NewGate(script *Script, process Process) *Gate {
	g := &Gate{script: script, process: process}
	g.mu.next = make(map[seam][]Action)
	g.mu.mine = make(map[string]bool)
	return g
}

// step is one step that passes the gate: a call, or a step of the process itself.
type step struct {
	fault.Call
	seam  seam
	point crash.Point
}

// Bucket returns b as the process sees it.
func (g *Gate) Bucket(b storage.Bucket) storage.Bucket { return fault.InterceptBucket(b, g) }

// Source returns s as the process sees it.
func (g *Gate) Source(s connectors.Source) connectors.Source { return fault.InterceptSource(s, g) }

// Outbox returns o as the process sees it; nil stays nil.
func (g *Gate) Outbox(o connectors.Outbox) connectors.Outbox {
	if o == nil {
		return nil
	}
	return fault.InterceptOutbox(o, g)
}

// Appender returns a as the process sees it; nil stays nil.
func (g *Gate) Appender(a connectors.Appender) connectors.Appender {
	if a == nil {
		return nil
	}
	return fault.InterceptAppender(a, g)
}

// Do implements crash.Hook.
func (g *Gate) Do(ctx context.Context, p crash.Point, effect func() error) error {
	return g.pass(ctx, step{seam: ofItself, point: p,
		Call: fault.Call{Key: string(p), Make: func(context.Context, fault.Hit) error { return effect() }}})
}

// Kill ends the process as seen from outside: nothing passes any more.
func (g *Gate) Kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.dead = true
}

// Intercept implements fault.Interceptor.
func (g *Gate) Intercept(ctx context.Context, call fault.Call) error {
	c := Call{Op: call.Op, Key: call.Key}
	g.mu.Lock()
	c.Mine = g.mu.mine[c.Key]
	if c.Op == fault.PutIfAbsent {
		g.mu.mine[c.Key] = true
		if isIntent(c.Key) {
			g.mu.merging = bytes.Contains(call.Body, []byte(`"action":"compact"`))
		}
	}
	c.Merging = g.mu.merging
	g.mu.Unlock()
	s := step{Call: call, seam: ofStore, point: g.script.pointOf(c)}
	if c.Op&fault.OfTopic != 0 {
		s.seam = ofTopic
	}
	return g.pass(ctx, s)
}

func (g *Gate) pass(ctx context.Context, s step) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	for _, a := range g.scheduled(s.seam) {
		if over, err := g.inject(ctx, a, Before, &s); over {
			return err
		}
	}
	due := g.script.hit(s.point)
	damage := fault.Hit{}
	for _, p := range due {
		switch {
		case p.When == Before:
			if over, err := g.inject(ctx, p.Action, Before, &s); over {
				return err
			}
		case p.When == Unanswered && p.Action == Fail && s.damaged():
			damage = fault.Hit{Fault: fault.BitFlip, Bits: damagedBit, Cause: cause(p.Action, p.When)}
		}
	}
	err := s.Make(ctx, damage)
	for _, p := range due {
		switch p.When {
		case Unanswered:
			if over, struck := g.inject(ctx, p.Action, Unanswered, &s); over && err == nil {
				return struck
			}
		case After:
			g.schedule(p.Action, s.seam)
		}
	}
	if gone := g.wait(ctx); gone != nil {
		return gone
	}
	return err
}

// damagedBit chooses the bit that differs in a damaged answer.
const damagedBit = 1<<20 | 2

// damaged reports whether a wrong answer to the step is damaged bytes.
func (s *step) damaged() bool { return s.Op&fault.BitFlip.Ops() != 0 }

func cause(a Action, when When) error { return errors.New(string(a) + " " + string(when)) }

// wait lets a stalled process wait, and a dead one go no further.
func (g *Gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		dead, stalled := g.mu.dead, g.mu.stalled
		g.mu.Unlock()
		if dead {
			return errDead
		}
		if stalled == nil {
			return nil
		}
		select {
		case <-stalled:
		case <-ctx.Done():
			return &thalweg.Error{Op: "stall", Kind: thalweg.Canceled, Err: ctx.Err()}
		}
	}
}

// inject does what a plan says to a process that takes step s, and reports
// whether the step is over, with err.
func (g *Gate) inject(ctx context.Context, a Action, when When, s *step) (over bool, err error) {
	switch a {
	case Exit:
		g.Kill()
		g.process.Exit()
		return true, errDead
	case Stall:
		g.stall()
		return false, nil
	}
	if s.seam == ofItself && s.point != crash.LoadModel && (s.point != crash.Score || when != Before) {
		// It has no connection of its own and cannot fail: all those that the process
		// has are hit.
		g.schedule(a, ofItself)
		return false, nil
	}
	switch {
	case a == Drop && when == Before && s.Late != nil:
		ctx, body := context.WithoutCancel(ctx), bytes.Clone(s.Body)
		time.AfterFunc(lateAfter, func() { s.Late(ctx, body) })
	case a == Fail && when == Unanswered && s.damaged():
		return false, nil
	case a == Fail && when == Unanswered && s.Op == fault.PutIfAbsent:
		return true, fault.Hit{Cause: cause(a, when)}.Failure(thalweg.Exists, s.Op, s.Key)
	}
	name := s.Key
	if s.Op != 0 {
		name = s.Op.String() + " " + s.Key
	}
	return true, &thalweg.Error{Op: name, Kind: thalweg.Unavailable, Err: cause(a, when)}
}

func (g *Gate) stall() {
	stalled := make(chan struct{})
	g.mu.Lock()
	g.mu.stalled = stalled
	g.mu.Unlock()
	g.process.Stall()
	g.mu.Lock()
	g.mu.stalled = nil
	g.mu.Unlock()
	close(stalled)
}

// schedule has an action carried out at the process's next step, or on the next
// call of the same connection.
func (g *Gate) schedule(a Action, s seam) {
	seams := []seam{s}
	switch {
	case a == Exit || a == Stall:
		seams = []seam{ofAny}
	case s == ofItself:
		seams = []seam{ofStore, ofTopic}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range seams {
		g.mu.next[s] = append(g.mu.next[s], a)
	}
}

// scheduled takes the actions for a call of a seam.
func (g *Gate) scheduled(s seam) []Action {
	g.mu.Lock()
	defer g.mu.Unlock()
	actions := append(g.mu.next[ofAny], g.mu.next[s]...)
	delete(g.mu.next, ofAny)
	delete(g.mu.next, s)
	return actions
}

var errDead = &thalweg.Error{Op: "go on", Kind: thalweg.Canceled, Err: errors.New("the process is dead")}
