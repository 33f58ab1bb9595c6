package coordinator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/audit"
	"github.com/thalweg/thalweg/coordinator/clock"
	"github.com/thalweg/thalweg/coordinator/level"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/schedule"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/coordinator/together"
	"github.com/thalweg/thalweg/coordinator/view"
)

const (
	// maxRounds bounds how often it is planned anew for those who ask, because what was
	// committed made room for more; what is left waits for the next poll or tick.
	maxRounds = 4
	// roundHolds is how long a round that found nothing to do is good for others who ask,
	// while the state stays as it is and no worker comes or goes: thousands of workers poll
	// for nothing but their leases' sake.
	roundHolds = 50 * time.Millisecond
	// maxProposals bounds the commands that are on their way into the log at once.
	maxProposals = 256
	// maxEntryBytes bounds a log entry: a spec with its escapes, or a report at the
	// bounds of reports.
	maxEntryBytes = 4 << 20
	// raiseEvery is how often a leader whose build knows more than the cluster acts by asks
	// whether the others do too.
	raiseEvery = time.Second
	// ticksPerTTL is how often in a lease's time the leader looks for silent
	// workers.
	ticksPerTTL = 8
)

// leadership is one term of this node as leader, with what workers have
// reported since. It begins knowing none of them; they have a lease's time to
// call.
type leadership struct {
	term     uint64
	liveness *liveness.Liveness
	looks    liveness.Looks
	rollouts *liveness.Rollouts
	alerts   alerting
	planning planning
	end      context.CancelFunc
	// gaveWay is of the goroutine that follows leaderships.
	gaveWay bool
}

// followLeadership begins and ends leaderships until ctx ends.
func (c *Coordinator) followLeadership(ctx context.Context) {
	var planners sync.WaitGroup
	defer planners.Wait()
	tick := time.NewTicker(c.cfg.LeaseTTL / ticksPerTTL)
	defer tick.Stop()
	wall := clock.NewWatch(c.cfg.Now)
	for {
		select {
		case <-ctx.Done():
			return
		case leads := <-c.node.Leadership():
			c.endLeadership()
			if leads {
				c.beginLeadership(ctx, &planners)
			}
		case <-tick.C:
			if jump := wall.Jumped(); jump != 0 {
				c.log.Warn("the clock jumped, or the machine stood still: schedules and the expiry of tokens and certificates go by it, leases do not", "by", jump.Round(time.Second))
			}
			c.tick(ctx)
		}
	}
}

// beginLeadership waits until all that was committed before is applied here, and
// only then plans and answers as the leader.
func (c *Coordinator) beginLeadership(ctx context.Context, planners *sync.WaitGroup) {
	term := c.node.Term()
	if err := c.node.Read(); err != nil {
		c.log.Info("leadership was lost before it began", keyTerm, term, keyError, err)
		return
	}
	ctx, end := context.WithCancel(ctx)
	lead := &leadership{term: term, liveness: liveness.New(c.cfg.LeaseTTL), rollouts: liveness.NewRollouts(c.cfg.Now().UnixMilli()), end: end}
	lead.planning.asks = together.NewDesk[thalweg.WorkerID, int]()
	planners.Go(func() {
		lead.planning.asks.Serve(ctx, func(polls []thalweg.WorkerID) outcome { return c.planFor(lead, polls) })
	})
	planners.Go(func() { c.raiseLevel(ctx) })
	lead.alerts.sender = c.newSender(lead)
	planners.Go(func() { c.watchAlerts(ctx, lead) })
	c.lead.Store(lead)
	c.changes.Notify()
	c.log.Info("this node leads", keyTerm, term)
}

func (c *Coordinator) endLeadership() {
	if lead := c.lead.Swap(nil); lead != nil {
		lead.end()
		c.log.Info("this node no longer leads", keyTerm, lead.term)
	}
	c.changes.Notify()
}

// leading returns the leadership under way, or nil. A leadership of an earlier
// term is over even where its end was not noticed yet.
func (c *Coordinator) leading() *leadership {
	lead := c.lead.Load()
	if lead == nil || !c.node.IsLeader() || c.node.Term() != lead.term {
		return nil
	}
	return lead
}

// waitLeading returns the leadership under way; a new leader's requests wait for
// it to begin.
func (c *Coordinator) waitLeading(ctx context.Context) (*leadership, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.LeaderWait)
	defer cancel()
	for {
		changed := c.changes.Changed()
		if lead := c.leading(); lead != nil {
			return lead, nil
		}
		if !c.node.IsLeader() {
			return nil, notLeader(c.node.Leader())
		}
		select {
		case <-changed:
		case <-c.stopping:
			return nil, notLeader("")
		case <-ctx.Done():
			return nil, notLeader("")
		}
	}
}

func notLeader(leader string) error {
	hint := "no leader is known; try again"
	if leader != "" {
		hint = "node " + leader + " does"
	}
	return &thalweg.Error{Op: "serve request", Kind: thalweg.Unavailable, Subject: "coordinator", Hint: hint,
		Err: errors.New("this node does not lead")}
}

// raiseLevel has the cluster act by the newest level that all of its coordinators know, once
// they do, until ctx ends: a command that one of them does not understand would stop it.
func (c *Coordinator) raiseLevel(ctx context.Context) {
	tick := time.NewTicker(raiseEvery)
	defer tick.Stop()
	for {
		now := 0
		c.replica.view(func(s *state.State) { now = s.Level() })
		if now < level.Known {
			if known := c.knownByAll(ctx); known > now && ctx.Err() == nil {
				if _, err := c.propose(&state.RaiseLevel{To: known}); err != nil {
					c.log.Debug("the cluster's level was not raised", keyError, err)
				} else {
					c.log.Info("all coordinators know more: the cluster acts by it from now on", "level", known)
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// knownByAll returns the newest level that all coordinators know, 0 if one does not say.
func (c *Coordinator) knownByAll(ctx context.Context) int {
	known := level.Known
	for _, n := range c.probeNodes(ctx, c.nodeView()) {
		if n.State == view.NodeUnreachable {
			return 0
		}
		known = min(known, int(n.Level))
	}
	return known
}

// tick does what is due without anybody's asking: silent workers expire, runs that have
// come to it are registered, and runs start by their schedules.
func (c *Coordinator) tick(ctx context.Context) {
	lead := c.leading()
	if lead == nil {
		return
	}
	if err := c.node.Writable(); err != nil {
		c.giveWay(lead, err)
		return
	}
	if err := c.registerFirst(); err != nil {
		c.log.Warn("the first token could not be registered", keyError, err)
	}
	if err := c.startScheduled(ctx, lead); err != nil && !thalweg.KindOf(err).Transient() && ctx.Err() == nil {
		c.log.Warn("a run could not be started by its schedule", keyError, err)
	}
	var verdicts []*state.JudgeRollout
	c.replica.view(func(s *state.State) { verdicts = lead.rollouts.Due(s, time.Now()) })
	for _, v := range verdicts {
		if err := c.carryOut(v); err != nil {
			c.log.Debug("a verdict on a rollout was put off", keyError, err)
		}
	}
	if _, err := c.advance(ctx, lead, ""); err != nil {
		c.log.Debug("planning was put off", keyError, err)
		return
	}
	c.replica.view(func(s *state.State) { lead.liveness.Forget(s, time.Now()) })
}

// giveWay hands leadership to another node because this one only reads, once in a
// leadership: the other may be no better off.
func (c *Coordinator) giveWay(lead *leadership, why error) {
	if !lead.gaveWay {
		lead.gaveWay = true
		c.log.Error("this node only reads, and another is asked to lead", keyError, why)
		c.node.StepDown()
	}
}

// planning is how a leader plans: for all who ask at a time, from the plan to its commands'
// being applied, so that no two plans take the same task.
type planning struct {
	asks *together.Desk[thalweg.WorkerID, int] // by the worker that polls, "" for the cluster
	turn sync.Mutex                            // held while it is planned and committed
	// Of who has the turn: the last round, if it found nothing to do, and what it is of.
	idle    *schedule.Round
	state   *state.State
	index   uint64
	version uint64 // of the liveness
	began   time.Time
}

// outcome of a plan is how many workers are alive and take tasks, and what its commands met.
type outcome = together.Served[thalweg.WorkerID, int]

// advance plans and commits until there is nothing left to do, for the worker that polls or,
// without one, for the cluster. It returns how many workers are alive and take tasks.
func (c *Coordinator) advance(ctx context.Context, lead *leadership, poll thalweg.WorkerID) (alive int, err error) {
	return lead.planning.asks.Ask(ctx, poll, notLeader(""))
}

// planFor plans and commits for those who ask, and again for those for whom there was
// something to do.
func (c *Coordinator) planFor(lead *leadership, polls []thalweg.WorkerID) (out outcome) {
	lead.planning.turn.Lock()
	defer lead.planning.turn.Unlock()
	out.Of = make(map[thalweg.WorkerID]error)
	cluster := slices.Contains(polls, "")
	polls = slices.DeleteFunc(slices.Clone(polls), func(id thalweg.WorkerID) bool { return id == "" })
	for range maxRounds {
		if c.leading() != lead {
			out.Err = notLeader(c.node.Leader())
			return out
		}
		if c.node.Writable() != nil { // leases stay as they are
			out.Answer, _ = lead.liveness.Alive(time.Now())
			return out
		}
		var commands []schedule.Planned
		c.replica.view(func(s *state.State) {
			round := lead.planning.at(s, lead)
			if out.Answer = round.Alive(); cluster {
				commands = round.Plan()
			}
			if len(commands) == 0 && len(polls) > 0 {
				commands = round.Plan(polls...)
			}
			if len(commands) > 0 {
				lead.planning.idle = nil
			}
		})
		if len(commands) == 0 {
			return out
		}
		if polls, out.Err = c.carryOutAll(commands, polls, out.Of); out.Err != nil {
			return out
		}
	}
	return out
}

// at returns a round for the state as it is.
func (p *planning) at(s *state.State, lead *leadership) *schedule.Round {
	now, version := time.Now(), lead.liveness.Version()
	if p.idle == nil || p.state != s || p.index != s.Index() || p.version != version || now.Sub(p.began) > roundHolds {
		p.idle, p.state, p.index, p.version, p.began = schedule.NewRound(s, lead.liveness.Snapshot(), now), s, s.Index(), version, now
	}
	return p.idle
}

// carryOutAll commits what was planned, and returns for whom it is to be planned anew: for
// those whose polls it answered or, where it was about the cluster, for all. What one poll's
// commands meet is that poll's error.
func (c *Coordinator) carryOutAll(commands []schedule.Planned, polls []thalweg.WorkerID, of map[thalweg.WorkerID]error) (again []thalweg.WorkerID, err error) {
	var group errgroup.Group
	group.SetLimit(maxProposals)
	errs := make([]error, len(commands))
	for i, cmd := range commands {
		group.Go(func() error {
			errs[i] = c.carryOut(cmd.Command)
			return nil
		})
	}
	_ = group.Wait() // each has its own
	for i, cmd := range commands {
		switch {
		case cmd.For == "":
			again, err = polls, errors.Join(err, errs[i])
		case errs[i] != nil:
			of[cmd.For] = errors.Join(of[cmd.For], errs[i])
		case len(again) == 0 || again[len(again)-1] != cmd.For: // those of one follow each other
			again = append(again, cmd.For)
		}
	}
	return again, err
}

// carryOut commits a planned command and logs what an operator wants to know.
func (c *Coordinator) carryOut(cmd state.Command) error {
	answer, err := c.propose(cmd)
	if err != nil || !answer.Changed {
		return err
	}
	switch cmd := cmd.(type) {
	case *state.ReleaseLeases:
		if cmd.Lost != "" {
			c.metrics.restarts.WithLabelValues(restartLost).Add(float64(len(cmd.Leases)))
			c.log.Warn("worker is lost or began anew; its leases ended", keyWorker, cmd.Lost)
			if c.cfg.Traces != nil {
				c.traceEnded(cmd.Leases)
			}
		}
	case *state.TripStream:
		c.log.Warn("stream paused: too many dead letters", keyPipeline, cmd.Pipeline, keyPartition, cmd.Partition, keyReason, cmd.Reason)
	case *state.JudgeRollout:
		c.log.Info("rollout judged", keyModel, cmd.Model, keyVersion, answer.Version, "percent", cmd.Verdict.Percent, "outcome", cmd.Verdict.Outcome, keyReason, cmd.Verdict.Why)
	case *state.RegisterModel:
		c.log.Info("model version registered", keyRun, answer.Run, keyVersion, answer.Version)
		c.logStage(answer.Run, answer.Stage)
	}
	return nil
}

// traceEnded sends the spans of runs that ended with leases of theirs.
func (c *Coordinator) traceEnded(leases []state.Lease) {
	runs := make(map[string]bool)
	for _, l := range leases {
		if run, _, _ := strings.Cut(string(l.Task), "/"); !runs[run] {
			runs[run] = true
			c.traceEnd(thalweg.RunID(run))
		}
	}
}

// propose commits a command of the leader's own and returns its answer; a refusal is an
// error.
func (c *Coordinator) propose(cmd state.Command) (state.Answer, error) {
	if state.IsMutation(cmd) {
		return state.Answer{}, &thalweg.Error{Op: state.Name(cmd), Kind: thalweg.Invalid, Subject: "command", Err: errors.New("it is not known who asked for it")}
	}
	return c.commit(nil, cmd, "")
}

// commit commits a command, of a caller if it is a mutation.
func (c *Coordinator) commit(caller *audit.Caller, cmd state.Command, requestID string) (state.Answer, error) {
	started := time.Now()
	entry, err := state.EncodeFor(caller, cmd, requestID, c.cfg.Now().UnixMilli())
	if err != nil {
		return state.Answer{}, err
	}
	if len(entry) > maxEntryBytes {
		return state.Answer{}, &thalweg.Error{Op: state.Name(cmd), Kind: thalweg.Exhausted, Subject: "log entry",
			Hint: "a command may have 4 MiB"}
	}
	var answer state.Answer
	result, err := c.node.Apply(entry)
	if err == nil {
		answer = result.(state.Answer)
		err = answer.Err()
	}
	c.metrics.commands.observe(state.Name(cmd), time.Since(started), err)
	return answer, err
}

// read calls look with a state that holds everything acknowledged before.
func (c *Coordinator) read(look func(*state.State)) error {
	if err := c.node.Read(); err != nil {
		return err
	}
	c.replica.view(look)
	return nil
}
