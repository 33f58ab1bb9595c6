package state

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api/stages"
)

// answerSum is the sha256 of an answer, of which the state knows the length only.
var answerSum = strings.Repeat("a", MaxHashBytes)

// answered is what the worker of a job reports.
func answered(bytes int64) Results {
	return Results{Outputs: map[string]string{stages.AnswerSHA256: answerSum}, Counts: map[string]int64{stages.AnswerBytes: bytes}}
}

// showJobs prints the jobs that are kept.
func showJobs(out *strings.Builder, s *State) {
	for j := range s.Jobs() {
		fmt.Fprintf(out, "%s %s %s %s by %q", j.ID, j.Kind, j.Parameters, j.State, j.By)
		if j.Error != "" {
			fmt.Fprintf(out, ": %s", j.Error)
		}
		if j.Answer != nil {
			fmt.Fprintf(out, ", answer of %d bytes", j.Answer.Bytes)
		}
		fmt.Fprintf(out, "\n  %s\n", taskLine(j.Task))
	}
}

// checkJobs checks S15 and adds how many tasks of jobs are live.
func checkJobs(t tester, s *State) (live int) {
	t.Helper()
	ended, going := make(map[thalweg.PipelineName]int), make(map[thalweg.PipelineName]int)
	for j := range s.Jobs() {
		if s.Pipeline(j.Pipeline) == nil {
			t.Fatalf("S15: job %s is of no pipeline", j.ID)
		}
		if (j.State == RunRunning) != (s.goingJobs[j.ID] == j) || (j.State == RunRunning) != (s.tasks[j.Task.ID] == j.Task) || (j.State == RunSucceeded) != (j.Answer != nil) {
			t.Fatalf("S15: job %s is %s, its task is live: %v, answer %v", j.ID, j.State, s.tasks[j.Task.ID] == j.Task, j.Answer)
		}
		if j.State == RunRunning {
			going[j.Pipeline]++
			live++
		} else {
			ended[j.Pipeline]++
		}
	}
	for p := range s.Pipelines() {
		if ended[p.Name] > MaxJobs+MaxGoingJobs || going[p.Name] > MaxGoingJobs {
			t.Fatalf("S15: %s has %d jobs that ended, and %d that are going", p.Name, ended[p.Name], going[p.Name])
		}
	}
	if live != len(s.goingJobs) || live > MaxAllGoingJobs {
		t.Fatalf("S15: %d jobs are going, %d are known to", live, len(s.goingJobs))
	}
	return live
}

// drawJobCommand draws a command about jobs, nil mostly.
func drawJobCommand(t *rapid.T, s *State, pipeline thalweg.PipelineName) Command {
	if rapid.IntRange(0, 14).Draw(t, "about jobs") > 0 {
		return nil
	}
	for j := range s.Jobs() {
		if rapid.Bool().Draw(t, "this job") {
			if rapid.Bool().Draw(t, "cancel") {
				return &CancelJob{Job: j.ID}
			}
			return &ReportTask{Task: j.Task.ID, Token: j.Task.Token, Results: answered(rapid.Int64Range(-1, 3).Draw(t, "bytes"))}
		}
	}
	return &StartJob{Pipeline: pipeline, Kind: rapid.SampledFrom([]string{"fsck", "diff", ""}).Draw(t, "kind of job"), By: "ada"}
}

// TestJobsAreBounded: of those that ended the newest are kept, and not more are going than
// workers get to.
func TestJobsAreBounded(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for i := range MaxAllGoingJobs/MaxGoingJobs + 1 {
		m.apply(&ApplySpec{Pipeline: thalweg.PipelineName(fmt.Sprintf("p%d", i)), Text: "v", Stages: planOf("look:tasks:1:0:objects")}, "")
	}
	start := func(i int) Answer {
		return m.apply(&StartJob{Pipeline: thalweg.PipelineName(fmt.Sprintf("p%d", i)), Kind: "fsck"}, "")
	}
	var first thalweg.JobID
	for i := range MaxJobs + 5 {
		a := start(0)
		if i == 4 {
			first = a.Job
		}
		m.apply(&CancelJob{Job: a.Job}, "")
	}
	if n, oldest := len(m.live.jobs), m.live.Job(first); n != MaxJobs || oldest != nil {
		t.Errorf("%d jobs are kept, and %v of those before", n, oldest)
	}
	for i := range MaxAllGoingJobs / MaxGoingJobs {
		for range MaxGoingJobs {
			if a := start(i); a.Failure != nil {
				t.Fatal(a.Failure)
			}
		}
		if a := start(i); !thalweg.Is(a.Err(), thalweg.Exhausted) {
			t.Fatalf("the %dth job of a pipeline: %v", MaxGoingJobs+1, a.Err())
		}
	}
	if a := start(MaxAllGoingJobs / MaxGoingJobs); !thalweg.Is(a.Err(), thalweg.Exhausted) {
		t.Errorf("the %dth job of all: %v", MaxAllGoingJobs+1, a.Err())
	}
	if waiting := m.live.WaitingJobs(); len(waiting) != MaxAllGoingJobs || waiting[0].Job.StartIndex > waiting[1].Job.StartIndex {
		t.Errorf("%d jobs wait", len(waiting))
	}
}
