package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// showProgress draws a bar of something that counts offsets, if w is a
// terminal, until the returned function is called.
func showProgress(w io.Writer, name string, at func() (done, total int64, message string)) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	progress := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(followEvery))
	bar := progress.AddBar(0, mpb.PrependDecorators(decor.Name(fmt.Sprintf("  %-9s", name))),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d offsets "), decor.AverageSpeed(0, "%.0f/s "),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO), "done"),
			decor.Any(func(decor.Statistics) string { _, _, message := at(); return " " + message })))
	show := func() {
		done, total, _ := at()
		bar.SetTotal(max(total, done, 1), false)
		bar.SetCurrent(done)
	}
	ended, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			show()
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(ended)
		<-left
		show()
		if done, total, _ := at(); done >= total {
			bar.SetTotal(-1, true)
		} else {
			bar.Abort(false)
		}
		progress.Wait()
	}
}
