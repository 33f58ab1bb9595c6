package coordinator

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/schedule"
	"github.com/thalweg/thalweg/coordinator/state"
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
)

// planning is how a leader plans: for all who ask at a time, from the plan to its commands'
// being applied, so that no two plans take the same task. Whoever asks meanwhile is planned
// for next, together with all others who do.
type planning struct {
	mu struct {
		sync.Mutex
		next *asked // nil: nobody asks
	}
	wake chan struct{} // has an element while somebody asks
	over chan struct{} // closed once nobody is planned for any more
	turn sync.Mutex    // held while it is planned and committed
	// Of who has the turn: the last round, if it found nothing to do, and what it is of.
	idle    *schedule.Round
	state   *state.State
	index   uint64
	version uint64 // of the liveness
	began   time.Time
}

func newPlanning() *planning {
	return &planning{wake: make(chan struct{}, 1), over: make(chan struct{})}
}

// asked is who asks for a plan, and what became of it once it is done.
type asked struct {
	polls   []thalweg.WorkerID
	cluster bool // it is asked for the cluster too
	done    chan struct{}
	alive   int
	err     error                      // for all who ask
	errs    map[thalweg.WorkerID]error // of commands that answer a poll; nil: none, or it does not ask
}

// advance plans and commits until there is nothing left to do, for the worker that polls or,
// without one, for the cluster. It returns how many workers are alive and take tasks.
func (c *Coordinator) advance(ctx context.Context, lead *leadership, poll thalweg.WorkerID) (alive int, err error) {
	a := lead.planning.ask(poll)
	select {
	case <-a.done:
		return a.alive, errors.Join(a.err, a.errs[poll])
	case <-lead.planning.over:
		return 0, notLeader("")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// ask joins those who ask.
func (p *planning) ask(poll thalweg.WorkerID) *asked {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.next == nil {
		p.mu.next = &asked{done: make(chan struct{}), errs: make(map[thalweg.WorkerID]error)}
	}
	a := p.mu.next
	if _, twice := a.errs[poll]; poll == "" {
		a.cluster = true
	} else if !twice {
		a.polls = append(a.polls, poll)
		a.errs[poll] = nil
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return a
}

// plan plans for those who ask, until ctx ends.
func (c *Coordinator) plan(ctx context.Context, lead *leadership) {
	p := lead.planning
	defer close(p.over)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		p.mu.Lock()
		a := p.mu.next
		p.mu.next = nil
		p.mu.Unlock()
		if a == nil {
			continue // they asked just before others were taken, and with them
		}
		p.turn.Lock()
		a.alive, a.err = c.planFor(lead, a)
		p.turn.Unlock()
		close(a.done)
	}
}

// planFor plans and commits for those who ask, and again for those for whom there was
// something to do.
func (c *Coordinator) planFor(lead *leadership, a *asked) (alive int, err error) {
	polls := a.polls
	for range maxRounds {
		if c.leading() != lead {
			return 0, notLeader(c.node.Leader())
		}
		if c.node.Writable() != nil { // leases stay as they are
			alive, _ = lead.liveness.Alive(time.Now())
			return alive, nil
		}
		var planned []schedule.Planned
		c.replica.view(func(s *state.State) {
			round := lead.planning.at(s, lead)
			if alive = round.Alive(); a.cluster {
				planned = round.Plan()
			}
			if len(planned) == 0 && len(polls) > 0 {
				planned = round.Plan(polls...)
			}
			if len(planned) > 0 {
				lead.planning.idle = nil
			}
		})
		if len(planned) == 0 {
			return alive, nil
		}
		if polls, err = c.carryOutAll(planned, a, polls); err != nil {
			return 0, err
		}
	}
	return alive, nil
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
func (c *Coordinator) carryOutAll(planned []schedule.Planned, a *asked, polls []thalweg.WorkerID) (again []thalweg.WorkerID, err error) {
	var group errgroup.Group
	group.SetLimit(maxProposals)
	errs := make([]error, len(planned))
	for i, cmd := range planned {
		group.Go(func() error {
			errs[i] = c.carryOut(cmd.Command)
			return nil
		})
	}
	_ = group.Wait() // each has its own
	for i, cmd := range planned {
		switch {
		case cmd.For == "":
			again, err = polls, errors.Join(err, errs[i])
		case errs[i] != nil:
			a.errs[cmd.For] = errors.Join(a.errs[cmd.For], errs[i])
		default:
			again = append(again, cmd.For)
		}
	}
	return again, err
}
