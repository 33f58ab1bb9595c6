package schedule

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	"github.com/thalweg/thalweg/coordinator/state"
)

// cluster drives plans against a real state with workers that poll when told to.
type cluster struct {
	t        testing.TB
	s        *state.State
	liveness Liveness
	now      time.Time
	index    uint64
}

func newCluster(t testing.TB) *cluster {
	start := time.UnixMilli(1_000_000)
	return &cluster{t: t, s: state.New(), now: start,
		liveness: Liveness{LeaderSince: start, LeaseTTL: time.Second, Workers: make(map[thalweg.WorkerID]Worker)}}
}

func (c *cluster) apply(cmd state.Command) state.Answer {
	c.t.Helper()
	c.index++
	entry, err := state.Encode(cmd, "", c.now.UnixMilli())
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.s.Apply(c.index, entry)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// round plans for the workers that poll, for the cluster if none has a name. No task is for
// two of them, and no more than one partition moves.
func (c *cluster) round(polls ...thalweg.WorkerID) (commands []state.Command) {
	c.t.Helper()
	if len(polls) == 1 && polls[0] == "" {
		polls = nil
	}
	to, moved := make(map[thalweg.TaskID]thalweg.WorkerID), 0
	give := func(task thalweg.TaskID, w thalweg.WorkerID) {
		if to[task] != "" {
			c.t.Fatalf("%s is for %s and for %s", task, to[task], w)
		}
		to[task] = w
	}
	for _, planned := range NewRound(c.s, c.liveness, c.now).Plan(polls...) {
		commands = append(commands, planned.Command)
		switch cmd := planned.Command.(type) {
		case *state.GrantLeases:
			for _, l := range cmd.Grants {
				give(l.Task, cmd.Worker)
			}
		case *state.GrantBackup:
			give(cmd.Slow.Task, cmd.Worker)
		case *state.ReleaseLeases:
			for _, l := range cmd.Leases {
				if cmd.Lost == "" && c.s.Task(l.Task).IsPartition() {
					moved++
				}
			}
		}
	}
	if moved > 1 {
		c.t.Fatalf("%d partitions move at once", moved)
	}
	return commands
}

// plan carries plans out until nothing is left to do and returns their commands.
func (c *cluster) plan(polls ...thalweg.WorkerID) []state.Command {
	c.t.Helper()
	var all []state.Command
	for range 10 {
		commands := c.round(polls...)
		if len(commands) == 0 {
			return all
		}
		for _, cmd := range commands {
			c.apply(cmd)
		}
		all = append(all, commands...)
	}
	c.t.Fatalf("planning for %q does not end: %v", polls, names(all))
	return nil
}

func names(commands []state.Command) (names []string) {
	for _, c := range commands {
		names = append(names, state.Name(c))
	}
	return names
}

// poll lets workers call, each with its slots, and plans for one after the other.
func (c *cluster) poll(slots int, workers ...thalweg.WorkerID) {
	c.t.Helper()
	for _, w := range workers {
		c.pollTogether(slots, w)
	}
}

// pollTogether is poll, of workers that call at a time.
func (c *cluster) pollTogether(slots int, workers ...thalweg.WorkerID) {
	c.t.Helper()
	for _, w := range workers {
		incarnation := "1"
		if known, ok := c.liveness.Workers[w]; ok {
			incarnation = known.Incarnation
		}
		c.liveness.Workers[w] = Worker{ID: w, Incarnation: incarnation, Slots: slots, LastSeen: c.now}
	}
	c.plan(workers...)
}

// leases lists what each worker holds: "w1: a-1-1/clean@0 …".
func (c *cluster) leases() string {
	var b strings.Builder
	for _, w := range c.s.Holders() {
		fmt.Fprintf(&b, "%s:", w)
		for _, t := range c.s.HeldBy(w) {
			_, short, _ := strings.Cut(string(t.ID), "/")
			fmt.Fprintf(&b, " %s", short)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func (c *cluster) wantLeases(want string) {
	c.t.Helper()
	if got := c.leases(); got != want {
		c.t.Fatalf("leases:\n got %q\nwant %q", got, want)
	}
}

// finish reports every leased task of the given stage as done.
func (c *cluster) finish(stage string) {
	c.t.Helper()
	for _, w := range c.s.Holders() {
		for _, task := range c.s.HeldBy(w) {
			if task.Kind() == stage {
				c.done(task)
			}
		}
	}
}

// done reports a task as done.
func (c *cluster) done(task *state.Task) {
	c.t.Helper()
	report := &state.ReportTask{Task: task.ID, Token: task.Token, Results: state.Results{Counts: map[string]int64{"shards": 4},
		Outputs: map[string]string{"manifest": "m", "split": "s", "transform": "t", "checkpoint": "c", "evaluation": "e"}}}
	if !task.Reduce {
		report.Partials = slices.Repeat([]string{"p"}, int(task.Stage.Reducers))
	}
	c.apply(report)
}

// specPlan is the list of stages of a spec's run.
func specPlan(replicas uint32) []stages.Plan {
	return []stages.Plan{
		{Name: "profile", Over: stages.OverTasks, Reducers: 1, Outputs: []string{"manifest"}},
		{Name: "clean", Over: stages.OverShards, Reducers: 1, Outputs: []string{"split"}},
		{Name: "fit", Over: stages.OverShards, Reducers: 1, Outputs: []string{"transform"}},
		{Name: "train", Over: stages.OverReplicas, Number: replicas, Outputs: []string{"checkpoint"}},
		{Name: "evaluate", Over: stages.OverShards, Reducers: 1, Outputs: []string{"evaluation"}},
		{Name: "register", Over: stages.OverNothing},
	}
}

// until polls and finishes until the run is in the given stage.
func (c *cluster) until(run thalweg.RunID, stage string, workers ...thalweg.WorkerID) {
	c.t.Helper()
	for range 100 {
		at := c.s.Run(run).Stage().Name
		if at == stage {
			return
		}
		c.poll(2, workers...)
		c.finish(at)
	}
	c.t.Fatalf("run %s stays in %s: %s", run, c.s.Run(run).Stage().Name, c.leases())
}

func (c *cluster) spec(name string, replicas uint32, topic string) {
	c.t.Helper()
	c.apply(&state.ApplySpec{Pipeline: thalweg.PipelineName(name), Text: name, Model: thalweg.ModelName(name), Alias: "champion", Stages: specPlan(replicas), Topic: topic})
}

// A lease of a reducer names all that the map tasks wrote for it: a worker with free
// slots still takes no more of them than fit into one answer.
func TestAWorkerHoldsNoMoreReducersThanOneAnswerNames(t *testing.T) {
	c := newCluster(t)
	plan := specPlan(1)
	plan[1].Reducers = 2
	c.apply(&state.ApplySpec{Pipeline: "a", Text: "a", Model: "a", Alias: "champion", Stages: plan})
	run := c.s.ActiveRuns()[0]
	c.poll(2, "w1")
	profile := c.s.HeldBy("w1")[0]
	c.apply(&state.ReportTask{Task: profile.ID, Token: profile.Token,
		Results: state.Results{Counts: map[string]int64{"shards": 4 * (state.MaxHeldPartials/2 + 1)}, Outputs: map[string]string{"manifest": "m"}}})
	c.poll(state.MaxTasks, "w1")
	c.finish("clean")
	c.poll(4, "w1")
	c.wantLeases("w1: clean.reduce@0")
	c.poll(4, "w2")
	c.wantLeases("w1: clean.reduce@0; w2: clean.reduce@1")
	c.finish("clean")
	if at := run.Current().Name; at != "fit" {
		t.Errorf("the run is in %s", at)
	}
}

func TestRunGoesThroughAllStages(t *testing.T) {
	for _, workers := range [][]thalweg.WorkerID{{"w1"}, {"w1", "w2", "w3"}} {
		c := newCluster(t)
		c.spec("a", 3, "")
		c.until("a-1-1", "register", workers...)
		c.plan("")
		if r := c.s.Run("a-1-1"); r.State != state.RunSucceeded || r.Version != 1 {
			t.Errorf("%d workers: the run is %v, version %d", len(workers), r.State, r.Version)
		}
	}
}

func TestTasksAreSharedEvenly(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 3, "")
	c.until("a-1-1", "clean", "w1", "w2")
	// Both live workers have slots for all four shards, but the first to poll
	// leaves the other its half.
	c.poll(8, "w1")
	c.wantLeases("w1: clean@0 clean@1")
	c.poll(8, "w2", "w1")
	c.wantLeases("w1: clean@0 clean@1; w2: clean@2 clean@3")
}

// A plan can bound how many of its tasks are with workers, whatever slots these have.
func TestAPlanBoundsItsTasksThatAreLeasedAtOnce(t *testing.T) {
	c := newCluster(t)
	plan := append([]stages.Plan{{Name: "try", Over: stages.OverTasks, Number: 6, Reducers: 1, Waves: []uint32{5, 1}, Together: 2}}, specPlan(1)...)
	c.apply(&state.ApplySpec{Pipeline: "a", Text: "a", Model: "a", Alias: "champion", Stages: plan})
	c.poll(8, "w1", "w2")
	c.wantLeases("w1: try@0 try@1")
	c.finish("try")
	c.poll(8, "w2")
	c.wantLeases("w2: try@2 try@3")
	c.finish("try")
	c.poll(8, "w1", "w2") // the last of its wave
	c.wantLeases("w1: try@4")
	c.finish("try")
	c.poll(8, "w2", "w1")
	c.wantLeases("w2: try@5")
	c.finish("try")
	c.poll(8, "w1")
	c.wantLeases("w1: try.reduce")
}

func TestSlotsBoundTasksButNotReplicas(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 5, "")
	c.until("a-1-1", "clean", "w1")
	c.poll(2, "w1")
	c.wantLeases("w1: clean@0 clean@1")
	c.until("a-1-1", "train", "w1")
	// All replicas have to run side by side, whatever the slots.
	c.poll(1, "w1")
	c.wantLeases("w1: train@0 train@1 train@2 train@3 train@4")
}

func TestReplicasAreSpreadAndStay(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 5, "")
	c.until("a-1-1", "train", "w1", "w2")
	c.poll(1, "w1", "w2")
	c.wantLeases("w1: train@0 train@1 train@2; w2: train@3 train@4")
	// A worker that joins gets none: moving a replica makes all of them wait.
	c.poll(1, "w3", "w1", "w2")
	c.wantLeases("w1: train@0 train@1 train@2; w2: train@3 train@4")
	// Those of a lost worker go to the others.
	c.now = c.now.Add(c.liveness.LeaseTTL + 1)
	c.poll(1, "w1")
	for _, w := range []thalweg.WorkerID{"w2", "w3"} {
		c.liveness.Workers[w] = Worker{ID: w, Incarnation: "1", Slots: 1, LastSeen: c.now}
	}
	c.now = c.now.Add(c.liveness.LeaseTTL)
	c.poll(1, "w2", "w3", "w2")
	c.now = c.now.Add(1)
	c.poll(1, "w2", "w3", "w2")
	if got := c.leases(); strings.Contains(got, "w1") {
		t.Errorf("the lost worker still holds: %s", got)
	}
	if n := len(c.s.HeldBy("w2")) + len(c.s.HeldBy("w3")); n != 5 {
		t.Errorf("%d of 5 replicas are held: %s", n, c.leases())
	}
}

func TestFailedTaskGoesToAnotherWorker(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 1, "")
	c.poll(2, "w2", "w1")
	c.wantLeases("w2: profile.reduce")
	fail := func() {
		for _, w := range c.s.Holders() {
			for _, task := range c.s.HeldBy(w) {
				c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "no"}})
			}
		}
	}
	fail()
	c.poll(2, "w2")
	c.wantLeases("") // it failed here, and w1 lives
	c.poll(2, "w1")
	c.wantLeases("w1: profile.reduce")
	fail()
	if r := c.s.Run("a-1-1"); r.State != state.RunFailed {
		t.Errorf("after two failures the run is %v", r.State)
	}
	// A worker that is alone tries it again itself.
	c = newCluster(t)
	c.spec("a", 1, "")
	c.poll(2, "w1")
	fail()
	c.poll(2, "w1")
	c.wantLeases("w1: profile.reduce")
}

func TestSilentWorkerExpires(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 1, "")
	c.poll(2, "w1", "w2")
	c.wantLeases("w1: profile.reduce")
	c.now = c.now.Add(c.liveness.LeaseTTL)
	if commands := c.plan(""); commands != nil {
		t.Errorf("planned too early: %v", names(commands))
	}
	c.now = c.now.Add(1)
	got := c.plan("")
	if len(got) != 1 || !reflect.DeepEqual(got[0], &state.ReleaseLeases{Lost: "w1", Leases: []state.Lease{{Task: "a-1-1/profile.reduce", Token: 2}}}) {
		t.Errorf("planned %v", names(got))
	}
	c.poll(2, "w2")
	c.wantLeases("w2: profile.reduce")
}

func TestNewLeaderGivesHoldersTime(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 4, "")
	c.until("a-1-1", "train", "w1", "w2")
	c.poll(2, "w1", "w2")
	want := "w1: train@0 train@1; w2: train@2 train@3"
	c.wantLeases(want)
	// A new leader knows nobody, a long time after the leases were granted.
	c.now = c.now.Add(time.Hour)
	c.liveness = Liveness{LeaderSince: c.now, LeaseTTL: c.liveness.LeaseTTL, Workers: make(map[thalweg.WorkerID]Worker)}
	c.poll(2, "w1")
	c.wantLeases(want)
	c.now = c.now.Add(c.liveness.LeaseTTL)
	c.poll(2, "w1")
	c.wantLeases(want)
	c.now = c.now.Add(1)
	c.poll(2, "w1")
	c.wantLeases("w1: train@0 train@1 train@2 train@3")
}

func TestRestartedWorkerLosesWhatItHeld(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 1, "")
	c.poll(2, "w1")
	before := c.s.HeldBy("w1")[0].Token
	c.liveness.Workers["w1"] = Worker{ID: "w1", Incarnation: "2", Slots: 2, LastSeen: c.now}
	if got := names(c.plan("w1")); !slices.Equal(got, []string{"release leases", "grant leases"}) {
		t.Errorf("planned %v", got)
	}
	if task := c.s.HeldBy("w1")[0]; task.Token <= before || task.Incarnation != "2" {
		t.Errorf("the lease is %d of process %s, before %d", task.Token, task.Incarnation, before)
	}
}

// withStream returns a cluster whose pipelines have champions and n partitions
// each.
func withStream(t *testing.T, n uint32, pipelines ...string) *cluster {
	c := newCluster(t)
	for _, name := range pipelines {
		c.spec(name, 1, "topic-"+name)
		c.until(thalweg.NewRunID(thalweg.PipelineName(name), 1, 1), "register", "w0")
		c.apply(&state.SetPartitions{Pipeline: thalweg.PipelineName(name), Topic: "topic-" + name, Partitions: n})
		c.plan("")
	}
	delete(c.liveness.Workers, "w0")
	c.apply(state.Release("w0", c.s.HeldBy("w0")...))
	return c
}

func TestStreamsAreLeasedOnceThereIsAChampion(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 1, "topic-a")
	c.poll(2, "w1")
	c.wantLeases("w1: profile.reduce")
	c = withStream(t, 3, "a")
	c.poll(1, "w1")
	c.wantLeases("w1: score@0 score@1 score@2")
}

func TestPartitionsAreSpreadOverAllPipelines(t *testing.T) {
	c := withStream(t, 1, "a", "b", "c", "d")
	for _, w := range []thalweg.WorkerID{"w1", "w2"} {
		c.liveness.Workers[w] = Worker{ID: w, Incarnation: "1", Slots: 1, LastSeen: c.now}
	}
	c.poll(1, "w1", "w2")
	if a, b := len(c.s.HeldBy("w1")), len(c.s.HeldBy("w2")); a != 2 || b != 2 {
		t.Errorf("%d and %d partitions", a, b)
	}
}

func TestPartitionsMoveOneByOneToAWorkerThatJoins(t *testing.T) {
	c := withStream(t, 5, "a")
	c.poll(1, "w1")
	if n := len(c.s.HeldBy("w1")); n != 5 {
		t.Fatalf("the only worker holds %d", n)
	}
	// Each poll of the new worker moves one, until the two differ by one.
	c.liveness.Workers["w2"] = Worker{ID: "w2", Incarnation: "1", Slots: 1, LastSeen: c.now}
	for step, want := range []int{1, 2, 2} {
		moved := 0
		for range 2 { // taken from one, then granted to the other
			for _, cmd := range c.round("w2") {
				if release, ok := cmd.(*state.ReleaseLeases); ok {
					moved += len(release.Leases)
				}
				c.apply(cmd)
			}
		}
		if n := len(c.s.HeldBy("w2")); n != want || moved > 1 {
			t.Fatalf("after step %d the new worker holds %d; %d moved at once", step, n, moved)
		}
	}
	c.poll(1, "w1", "w2")
	c.wantLeases("w1: score@0 score@1 score@2; w2: score@3 score@4")
}

func TestAStragglerIsDoneByAnIdleWorkerToo(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 1, "")
	c.until("a-1-1", "clean", "w1", "w2")
	c.poll(2, "w1", "w2")
	c.wantLeases("w1: clean@0 clean@1; w2: clean@2 clean@3")
	wait := func(d time.Duration) { // while both workers call
		for ; d > 0; d -= 100 * time.Millisecond {
			c.now = c.now.Add(min(d, 100*time.Millisecond))
			for _, w := range []thalweg.WorkerID{"w1", "w2"} {
				c.liveness.Workers[w] = Worker{ID: w, Incarnation: "1", Slots: 2, LastSeen: c.now}
			}
		}
	}
	wait(300 * time.Millisecond)
	c.done(c.s.Task("a-1-1/clean@2"))
	wait(700 * time.Millisecond)
	c.done(c.s.Task("a-1-1/clean@3"))
	c.poll(2, "w1", "w2")
	c.wantLeases("w1: clean@0 clean@1")
	// Of the two that are done the longer took a second.
	wait(2 * time.Second)
	c.poll(2, "w1", "w2")
	c.wantLeases("w1: clean@0 clean@1")
	wait(time.Millisecond)
	c.poll(0, "w2")
	c.poll(3, "w1")
	c.wantLeases("w1: clean@0 clean@1") // who has no slot, or the task itself, gets no backup
	c.poll(1, "w2")
	c.wantLeases("w1: clean@0 clean@1; w2: clean@0.backup")
	c.poll(2, "w2", "w1")
	c.wantLeases("w1: clean@0 clean@1; w2: clean@0.backup clean@1.backup")
	// A holder that is lost leaves its task to the backup.
	c.now = c.now.Add(c.liveness.LeaseTTL + 1)
	c.poll(3, "w2")
	c.wantLeases("w2: clean@0.backup clean@1.backup")
	c.finish("clean")
	c.poll(3, "w2")
	c.wantLeases("w2: clean.reduce")
	if at := c.s.Run("a-1-1").Stage(); at.Done != at.Maps {
		t.Errorf("%d of %d map tasks are done", at.Done, at.Maps)
	}
}

// A stage says itself from when on a task is late.
func TestAStageSaysWhenItsTasksAreLate(t *testing.T) {
	for factor, late := range map[float64]time.Duration{1.5: 1500 * time.Millisecond, 0: 3 * time.Second, 10: 10 * time.Second} {
		c := newCluster(t)
		plan := specPlan(1)
		for i := range plan {
			plan[i].BackupAfter = factor
		}
		c.apply(&state.ApplySpec{Pipeline: "a", Text: "spec a", Training: "t", Model: "a", Alias: "champion", Stages: plan})
		c.until("a-1-1", "clean", "w1", "w2")
		c.poll(2, "w1", "w2")
		call := func(d time.Duration) {
			c.now = c.now.Add(d)
			for _, w := range []thalweg.WorkerID{"w1", "w2"} {
				c.liveness.Workers[w] = Worker{ID: w, Incarnation: "1", Slots: 2, LastSeen: c.now}
			}
		}
		call(time.Second)
		c.done(c.s.Task("a-1-1/clean@2"))
		c.done(c.s.Task("a-1-1/clean@3"))
		call(late - time.Second)
		c.poll(1, "w2")
		c.wantLeases("w1: clean@0 clean@1")
		call(time.Millisecond)
		c.poll(1, "w2")
		c.wantLeases("w1: clean@0 clean@1; w2: clean@0.backup")
	}
}

func TestNothingIsAStragglerWithinALeasesTime(t *testing.T) {
	c := newCluster(t)
	c.spec("a", 1, "")
	c.until("a-1-1", "clean", "w1", "w2")
	c.poll(2, "w1", "w2")
	for _, task := range c.s.HeldBy("w2") {
		c.done(task) // at once
	}
	c.now = c.now.Add(c.liveness.LeaseTTL)
	c.poll(2, "w1", "w2")
	c.wantLeases("w1: clean@0 clean@1")
	c.now = c.now.Add(time.Millisecond)
	c.poll(2, "w1", "w2")
	c.wantLeases("w1: clean@0 clean@1; w2: clean@0.backup clean@1.backup")
}

func TestFailedPartitionWaitsLongerEachTime(t *testing.T) {
	c := withStream(t, 1, "a")
	fail := func() {
		task := c.s.HeldBy("w1")[0]
		c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "broker away"}})
	}
	for _, wait := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
		c.poll(1, "w1")
		c.wantLeases("w1: score@0")
		fail()
		c.now = c.now.Add(wait - time.Millisecond)
		c.poll(1, "w1")
		c.wantLeases("")
		c.now = c.now.Add(time.Millisecond)
	}
	// A permanent failure waits for an operator.
	c.poll(1, "w1")
	task := c.s.HeldBy("w1")[0]
	c.apply(&state.ReportTask{Task: task.ID, Token: task.Token, Failure: &state.ReportFailure{Error: "offsets are lost", Permanent: true}})
	c.now = c.now.Add(time.Hour)
	c.poll(1, "w1")
	c.wantLeases("")
	c.apply(&state.SetStream{Pipeline: "a"})
	c.poll(1, "w1")
	c.wantLeases("w1: score@0")
}

func TestWorkerWithoutSlotsGetsNothing(t *testing.T) {
	c := withStream(t, 2, "a")
	c.spec("b", 1, "")
	c.poll(0, "w1")
	c.wantLeases("")
	c.poll(1, "w2")
	c.wantLeases("w2: score@0 score@1 profile.reduce")
}
