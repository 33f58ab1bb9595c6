package terminal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/retry"
)

// FollowEvery is how often a run's progress is asked for.
const FollowEvery = 150 * time.Millisecond

// A rate of rows is told of a stage that took so many milliseconds, since below
// most of them is starting and ending, and of none that only reads how many there
// are.
const (
	rateFrom    = 200
	footerStage = "profile"
)

// Follow shows a run's progress on w until it ends: bars with rows/s and time
// left on a terminal, a line per finished stage elsewhere. A run that does not
// succeed is an error.
func Follow(ctx context.Context, c *api.Client, w io.Writer, runID string) (*apiv1.Run, error) {
	show := printStages(w)
	if IsTerminal(w) {
		b := newBars(w, "%d/%d rows ", "%.0f rows/s ")
		defer b.close()
		show = b.stages
	}
	for asked := 0; ; asked++ {
		res, err := c.GetRun(ctx, &apiv1.GetRunRequest{RunId: runID, WithoutTasks: true})
		if err != nil {
			return nil, err
		}
		show(res.Run)
		if asked == AskForWorkers {
			if err := WarnWithoutWorkers(ctx, c, w); err != nil {
				return nil, err
			}
		}
		switch res.Run.State {
		case "succeeded":
			whole, err := c.GetRun(ctx, &apiv1.GetRunRequest{RunId: runID})
			return whole.GetRun(), err
		case "failed", "canceled":
			failed := &thalweg.Error{Op: "run " + runID, Hint: "see `thalweg runs show " + runID + "`"}
			// Where a task is to blame, its name says stage and state too.
			task, ofTask := strings.CutPrefix(res.Run.Error, runID+"/")
			if !ofTask {
				failed.Subject = res.Run.State + " in stage " + res.Run.Stage
			}
			failed.Err = errors.New(cmp.Or(task, "no error given"))
			return nil, failed
		}
		if err := retry.Sleep(ctx, FollowEvery); err != nil {
			return nil, err
		}
	}
}

// AskForWorkers is after how many looks at a run or a job that is under way the workers are
// asked for: some two seconds, in which workers that start with it are known.
const AskForWorkers = 2 * int(time.Second/FollowEvery)

// statusAsker is what is asked of a client for the workers that there are.
type statusAsker interface {
	Status(ctx context.Context, req *apiv1.StatusRequest) (*apiv1.StatusResponse, error)
}

// WarnWithoutWorkers says that work waits where nobody can work on it.
func WarnWithoutWorkers(ctx context.Context, c statusAsker, w io.Writer) error {
	res, err := c.Status(ctx, &apiv1.StatusRequest{})
	if err == nil && !slices.ContainsFunc(res.Workers, func(w *apiv1.Worker) bool { return w.State == "alive" }) {
		_, err = fmt.Fprintln(w, "no worker is alive, and nothing is done until one is: `thalweg worker` starts it, and its log says why it ended")
	}
	return err
}

// IsTerminal reports whether somebody looks on while a verb prints there.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printStages returns what prints one plain line when a stage ends.
func printStages(w io.Writer) func(*apiv1.Run) {
	printed := make(map[string]bool)
	return func(r *apiv1.Run) {
		for _, s := range r.Stages {
			if s.State != "done" || printed[s.Name] {
				continue
			}
			printed[s.Name] = true
			rate := ""
			if s.RowsDone > 0 {
				rate = humanize.Comma(s.RowsDone) + " rows"
			}
			if ms := s.EndedAtUnixMs - s.StartedAtUnixMs; s.RowsDone > 0 && ms >= rateFrom && s.Name != footerStage {
				rate += fmt.Sprintf(", %s rows/s", humanize.Comma(s.RowsDone*1000/ms))
			}
			fmt.Fprintf(w, "  %-9s %8s  %s  %s\n", s.Name, Took(s.StartedAtUnixMs, s.EndedAtUnixMs), rate, s.Message)
		}
	}
}

// ShowProgress draws a bar of something that counts offsets, if w is a
// terminal, until the returned function is called.
func ShowProgress(w io.Writer, name string, at func() (done, total int64, message string)) (stop func()) {
	if !IsTerminal(w) {
		return func() {}
	}
	b := newBars(w, "%d/%d offsets ", "%.0f/s ")
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		for {
			done, total, message := at()
			b.set(name, done, total, message, false)
			if retry.Sleep(ctx, FollowEvery) != nil {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-left
		done, total, message := at()
		b.set(name, done, total, message, done >= total)
		b.close()
	}
}

// bars are progress bars on a terminal.
type bars struct {
	progress        *mpb.Progress
	counters, speed string // formats
	byName          map[string]*bar
}

// bar is one of them. mpb asks for the message while it draws.
type bar struct {
	*mpb.Bar
	message atomic.Value
}

func newBars(w io.Writer, counters, speed string) *bars {
	return &bars{progress: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(FollowEvery)),
		counters: counters, speed: speed, byName: make(map[string]*bar)}
}

// stages draws one bar a stage.
func (b *bars) stages(r *apiv1.Run) {
	for _, s := range r.Stages {
		switch s.State {
		case "waiting":
		case "done":
			b.set(s.Name, max(s.RowsDone, 1), 0, s.Message, true)
		default:
			b.set(s.Name, s.RowsDone, s.RowsTotal, s.Message, false)
		}
	}
}

// set moves the bar of that name, which there need not have been before.
func (b *bars) set(name string, done, total int64, message string, ended bool) {
	at := b.byName[name]
	if at == nil {
		at = &bar{}
		at.message.Store(message)
		at.Bar = b.progress.AddBar(0,
			mpb.PrependDecorators(decor.Name(fmt.Sprintf("  %-9s", name))),
			mpb.AppendDecorators(
				decor.CountersNoUnit(b.counters),
				decor.AverageSpeed(0, b.speed),
				decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "done"),
				decor.Any(func(decor.Statistics) string { return " " + at.message.Load().(string) })))
		b.byName[name] = at
	}
	at.message.Store(message)
	at.SetTotal(max(total, done, 1), false)
	at.SetCurrent(done)
	if ended {
		at.SetTotal(-1, true)
	}
}

// close leaves the bars as they are.
func (b *bars) close() {
	for _, bar := range b.byName {
		bar.Abort(false)
	}
	b.progress.Wait()
}
