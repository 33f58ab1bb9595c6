package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// followEvery is how often a run's progress is asked for.
const followEvery = 150 * time.Millisecond

// follow shows a run's progress on w until it ends: bars with rows/s and time
// left on a terminal, a line per finished stage elsewhere. A run that does not
// succeed is an error.
func follow(ctx context.Context, c *api.Client, w io.Writer, runID string) (*apiv1.Run, error) {
	var shown display = &lines{w: w, done: make(map[string]bool)}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		shown = newBars(w)
	}
	defer shown.close()
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		res, err := c.GetRun(ctx, &apiv1.GetRunRequest{RunId: runID})
		if err != nil {
			return nil, err
		}
		shown.show(res.Run)
		switch res.Run.State {
		case "succeeded":
			return res.Run, nil
		case "failed", "canceled":
			return nil, &thalweg.Error{Op: "run " + runID, Subject: res.Run.State + " in stage " + res.Run.Stage,
				Hint: "see `thalweg runs show " + runID + "`", Err: fmt.Errorf("%s", cmp.Or(res.Run.Error, "no error given"))}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

type display interface {
	show(*apiv1.Run)
	close()
}

// lines prints one plain line when a stage ends.
type lines struct {
	w    io.Writer
	done map[string]bool
}

func (l *lines) show(r *apiv1.Run) {
	for _, s := range r.Stages {
		if s.State != "done" || l.done[s.Name] {
			continue
		}
		l.done[s.Name] = true
		rate := ""
		if ms := s.EndedAtUnixMs - s.StartedAtUnixMs; s.RowsDone > 0 && ms > 0 {
			rate = fmt.Sprintf("%s rows, %s rows/s", thousands(s.RowsDone), thousands(s.RowsDone*1000/ms))
		}
		fmt.Fprintf(l.w, "  %-9s %8s  %s  %s\n", s.Name, took(s.StartedAtUnixMs, s.EndedAtUnixMs), rate, s.Message)
	}
}

func (l *lines) close() {}

// bars draws one bar a stage.
type bars struct {
	progress *mpb.Progress
	byStage  map[string]*mpb.Bar
	messages map[string]string
}

func newBars(w io.Writer) *bars {
	return &bars{progress: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(followEvery)),
		byStage: make(map[string]*mpb.Bar), messages: make(map[string]string)}
}

func (b *bars) show(r *apiv1.Run) {
	for _, s := range r.Stages {
		if s.State == "waiting" {
			continue
		}
		b.messages[s.Name] = s.Message
		bar := b.byStage[s.Name]
		if bar == nil {
			name := s.Name
			bar = b.progress.AddBar(0,
				mpb.PrependDecorators(decor.Name(fmt.Sprintf("  %-9s", name))),
				mpb.AppendDecorators(
					decor.CountersNoUnit("%d/%d rows "),
					decor.AverageSpeed(0, "%.0f rows/s "),
					decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "done"),
					decor.Any(func(decor.Statistics) string { return " " + b.messages[name] })))
			b.byStage[s.Name] = bar
		}
		bar.SetTotal(max(s.RowsTotal, s.RowsDone, 1), false)
		bar.SetCurrent(s.RowsDone)
		if s.State == "done" {
			bar.SetTotal(max(s.RowsDone, 1), false)
			bar.SetCurrent(max(s.RowsDone, 1))
			bar.SetTotal(-1, true)
		}
	}
}

func (b *bars) close() {
	for _, bar := range b.byStage {
		bar.Abort(false)
	}
	b.progress.Wait()
}
