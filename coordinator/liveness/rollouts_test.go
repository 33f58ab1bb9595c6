package liveness

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/state"
	"github.com/thalweg/thalweg/pipeline/rollout"
)

// trial is a cluster's state with a rollout, and a leader's view of it.
type trial struct {
	t      *testing.T
	state  *state.State
	leader *Rollouts
	now    time.Time
	counts map[string]*[rollout.Arms]rollout.Counts // by worker, since its process began
	rng    *rand.Rand
}

const trialInterval = 10 * time.Second

func newTrial(t *testing.T, policy state.RolloutPolicy) *trial {
	k := &trial{t: t, state: state.New(), now: time.UnixMilli(1_000_000), counts: make(map[string]*[rollout.Arms]rollout.Counts), rng: rand.New(rand.NewPCG(1, 2))}
	policy.IntervalMS, policy.MinRows, policy.FailureLimit, policy.OnInconclusive = trialInterval.Milliseconds(), 1000, 2, state.InconclusiveHolds
	for _, text := range []string{"error_rate_increase > 1%", "psi(score) > 0.1", "latency_p99 > 100ms"} {
		c, err := rollout.ParseCondition(text)
		if err != nil {
			t.Fatal(err)
		}
		policy.Conditions = append(policy.Conditions, c)
	}
	plan := []stages.Plan{{Name: "train", Over: stages.OverTasks, Number: 1, Outputs: []string{"checkpoint"}}, {Name: "register", Over: stages.OverNothing}}
	k.apply(&state.ApplySpec{Pipeline: "p", Text: "v1", Model: "m", Alias: "champion", Stages: plan, Rollout: &policy})
	for run := range 2 {
		if run > 0 {
			k.apply(&state.StartRun{Pipeline: "p", Generation: 1, Stages: plan})
		}
		id := thalweg.RunID(fmt.Sprintf("p-1-%d", run+1))
		task := k.state.Run(id).Current().Tasks[0]
		k.apply(&state.GrantLeases{Worker: "w", Incarnation: "i", Grants: []state.Lease{{Task: task.ID}}})
		k.apply(&state.ReportTask{Task: task.ID, Token: thalweg.Token(k.state.Index()), Results: state.Results{Outputs: map[string]string{"checkpoint": "c#1"}}})
		k.apply(&state.RegisterModel{Run: id})
	}
	k.elect()
	return k
}

func (k *trial) apply(c state.Command) {
	k.t.Helper()
	entry, err := state.Encode(c, "", k.now.UnixMilli())
	if err != nil {
		k.t.Fatal(err)
	}
	if answer, err := k.state.Apply(k.state.Index()+1, entry); err != nil || answer.Err() != nil {
		k.t.Fatal(err, answer.Err())
	}
}

// elect begins a leadership.
func (k *trial) elect() {
	k.leader = NewRollouts(k.now.UnixMilli())
	k.leader.Due(k.state, k.now)
}

func (k *trial) rollout() *state.Rollout { return k.state.Model("m").Aliases["champion"].Rollout }

// arm is what a version does with events.
type arm struct {
	dead  float64
	score func(x float64) float64
	took  time.Duration
}

func usual() arm { return arm{0.001, func(x float64) float64 { return x }, 5 * time.Millisecond} }

// pass scores events for an interval, of which the candidate has its share, and has the leader
// judge.
func (k *trial) pass(events int, candidate arm) {
	k.t.Helper()
	r := k.rollout()
	for _, worker := range []string{"w1", "w2"} {
		c := k.counts[worker+r.Salt+fmt.Sprint(r.Percent())]
		if c == nil {
			c = new([rollout.Arms]rollout.Counts)
			k.counts[worker+r.Salt+fmt.Sprint(r.Percent())] = c
		}
		for batch := range events / 200 {
			n := [rollout.Arms]int{100 - int(r.Percent()), int(r.Percent())}
			for of, a := range []arm{usual(), candidate} {
				dead := 0
				for range n[of] {
					if k.rng.Float64() < a.dead {
						dead++
					} else {
						c[of].Score(a.score(k.rng.Float64()))
					}
				}
				c[of].Batch(n[of], dead, a.took+time.Duration(batch%5)*time.Millisecond)
			}
		}
		msg := &apiv1.RolloutCounts{Salt: r.Salt, Percent: r.Percent()}
		for of := range c {
			msg.Arms = append(msg.Arms, &apiv1.ArmCounts{Events: c[of].Events, Dead: c[of].Dead, Batches: c[of].Batches, Sum: c[of].Sum, Squares: c[of].Squares,
				Scores: rollout.Sparse(c[of].Scores[:]), Times: rollout.Sparse(c[of].Times[:])})
		}
		k.leader.Note(&apiv1.PollRequest{WorkerId: worker, Incarnation: "1", Rollouts: []*apiv1.RolloutCounts{msg}}, k.now)
	}
	k.now = k.now.Add(trialInterval)
	for _, v := range k.leader.Due(k.state, k.now) {
		k.apply(v)
	}
	k.leader.Due(k.state, k.now)
}

func TestACandidateThatIsGoodIsPromotedAndOneThatIsBadRolledBack(t *testing.T) {
	slow, dying, other := usual(), usual(), usual()
	slow.took, dying.dead, other.score = 200*time.Millisecond, 0.05, func(x float64) float64 { return x * x }
	for name, c := range map[string]struct {
		candidate arm
		events    int
		intervals int
		outcome   string
		why       string
	}{
		"good":         {usual(), 100_000, 2, state.RolloutPromoted, "good"},
		"errors":       {dying, 100_000, 2, state.RolloutRolledBack, "error_rate_increase"},
		"other scores": {other, 100_000, 2, state.RolloutRolledBack, "psi(score)"},
		"slow":         {slow, 100_000, 2, state.RolloutRolledBack, "latency_p99 2"},
		"too few rows": {usual(), 2000, 5, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTrial(t, state.RolloutPolicy{Steps: []uint32{5, 25, 100}})
			for range c.intervals {
				k.pass(c.events, c.candidate)
			}
			r := k.rollout()
			if r.Outcome != c.outcome || !strings.Contains(r.Why, c.why) {
				t.Errorf("%q because of %q: %+v", r.Outcome, r.Why, r.Verdicts)
			}
			if last := r.Verdicts[len(r.Verdicts)-1]; c.outcome == "" && (last.Outcome != rollout.Inconclusive || last.Times != 1 || r.Judged != 1 || r.Percent() != 5) {
				t.Errorf("held at %d %%: %+v", r.Percent(), last)
			}
			champion := k.state.Model("m").Aliases["champion"].Version
			if want := map[bool]thalweg.ModelVersion{true: 2, false: 1}[c.outcome == state.RolloutPromoted]; champion != want {
				t.Errorf("the champion is version %d", champion)
			}
		})
	}
}

// Rows that are too few in one interval are enough in several, and a bad verdict takes its
// rows with it.
func TestRowsAreJudgedOnce(t *testing.T) {
	k := newTrial(t, state.RolloutPolicy{Steps: []uint32{10}})
	for range 5 {
		k.pass(4000, usual())
	}
	if r := k.rollout(); r.Outcome != state.RolloutPromoted || r.Verdicts[0].Outcome != rollout.Inconclusive {
		t.Errorf("%q: %+v", r.Outcome, r.Verdicts)
	}
	k = newTrial(t, state.RolloutPolicy{Steps: []uint32{10}})
	dying := usual()
	dying.dead = 0.2
	k.pass(20_000, dying)
	k.pass(20_000, usual())
	r := k.rollout()
	if r.Failures != 1 || r.Outcome != state.RolloutPromoted || r.Verdicts[1].Rows[rollout.Candidate] != 2000 {
		t.Errorf("%q: %+v", r.Outcome, r.Verdicts)
	}
}

func TestANewLeaderJudgesByWhatItHasSeenAlone(t *testing.T) {
	k := newTrial(t, state.RolloutPolicy{Steps: []uint32{10, 50}})
	dying := usual()
	dying.dead = 0.5
	k.pass(40_000, dying) // a bad verdict on these
	k.now = k.now.Add(time.Second)
	k.elect()
	k.pass(0, usual()) // workers tell what they have counted since they began
	if r := k.rollout(); r.Failures != 1 || r.Verdicts[1].Outcome != rollout.Inconclusive || r.Verdicts[1].Rows[rollout.Candidate] != 0 {
		t.Errorf("judged by counts of before: %+v", r.Verdicts)
	}
	k.pass(40_000, usual())
	if r := k.rollout(); r.Percent() != 50 || r.Outcome != "" {
		t.Errorf("at %d %%, %q: %+v", r.Percent(), r.Outcome, r.Verdicts)
	}
}

func TestACandidateThatCannotScoreIsBad(t *testing.T) {
	k := newTrial(t, state.RolloutPolicy{Steps: []uint32{10}})
	for range 2 {
		r := k.rollout()
		k.leader.Note(&apiv1.PollRequest{WorkerId: "w9", Incarnation: "1", Rollouts: []*apiv1.RolloutCounts{{Salt: r.Salt, Percent: r.Percent(), Failure: "its checkpoint is damaged"}}}, k.now)
		k.pass(0, usual())
	}
	if r := k.rollout(); r.Outcome != state.RolloutRolledBack || !strings.Contains(r.Why, "damaged") {
		t.Errorf("%q because of %q", r.Outcome, r.Why)
	}
}

// What workers tell is believed only as far as it makes sense.
func TestCountsThatMakeNoSenseAreLeftOut(t *testing.T) {
	for _, c := range []*apiv1.ArmCounts{{Events: -1}, {Events: 1, Dead: 2}, {Scores: []int64{1}}, {Scores: []int64{1 << 40, 1}}, {Times: []int64{0, -1}}} {
		if _, ok := countsOf(c); ok {
			t.Errorf("%v counts", c)
		}
	}
}

func TestARolloutThatIsHeldIsNotJudged(t *testing.T) {
	k := newTrial(t, state.RolloutPolicy{Steps: []uint32{10}})
	k.apply(&state.SetRollout{Pipeline: "p", Action: state.HoldRollout})
	k.pass(100_000, usual())
	if r := k.rollout(); r.Judged != 0 {
		t.Errorf("%d verdicts", r.Judged)
	}
	k.apply(&state.SetRollout{Pipeline: "p", Action: state.ResumeRollout})
	k.pass(0, usual())
	if r := k.rollout(); r.Outcome != state.RolloutPromoted {
		t.Errorf("%q: %+v", r.Outcome, r.Verdicts)
	}
}

// What only repeats that there are too few rows is no entry of the log until an hour later.
func TestAVerdictThatRepeatsTheLastIsNotProposedForAnHour(t *testing.T) {
	k := newTrial(t, state.RolloutPolicy{Steps: []uint32{10}})
	for range int(2*repeatEvery/trialInterval) + 2 {
		k.pass(0, usual())
	}
	if r := k.rollout(); r.Judged != 3 || len(r.Verdicts) != 1 || r.Verdicts[0].Times != 3 {
		t.Errorf("%d verdicts: %+v", r.Judged, r.Verdicts)
	}
}
