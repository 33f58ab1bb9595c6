package coordinator

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// Times come and leaders go: of each time, or of several that came while nobody led,
// there is one run, and of new objects too.
func TestScheduledRunsAreNeitherLostNorDoubledWhenLeadersChange(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 29, 1, 30, 0, 0, time.UTC)
	var passed atomic.Int64
	c := newCluster(t, 3, func(cfg *Config) {
		cfg.LookEvery = 10 * time.Millisecond
		cfg.Now = func() time.Time { return start.Add(time.Duration(passed.Load())) }
	})
	client := c.client()
	var there atomic.Int64
	w := newRobot(c, "w1", nil)
	w.objects = func() string { return fmt.Sprint("o", there.Load()) }
	c.employ(w)
	apply := func(name, schedule string) {
		t.Helper()
		text := strings.Replace(specText(name, 1), "  scoring:", "  schedule: "+schedule+"\n  scoring:", 1)
		text = strings.Replace(text, "topic: flights", "topic: flights-"+name, 1)
		if _, err := client.Apply(c.ctx(), &apiv1.ApplyRequest{Spec: text, File: name + ".yaml"}); err != nil {
			t.Fatal(err)
		}
	}
	apply("hourly", `{cron: "0 * * * *", timezone: Asia/Kolkata}`) // at half past, by UTC
	apply("fresh", "{on_new_objects: true}")
	runs := func(name string) (all []*apiv1.Run) {
		resp, err := client.ListRuns(c.ctx(), &apiv1.ListRunsRequest{Pipeline: name})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Runs
	}
	timetable := func(name string) *apiv1.Timetable {
		resp, err := client.GetPipeline(c.ctx(), &apiv1.GetPipelineRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Pipeline.Timetable
	}
	done := func(name string, n int) func() bool {
		return func() bool {
			all := runs(name)
			if len(all) > n {
				t.Fatalf("%d runs of %s: %v", len(all), name, all)
			}
			return len(all) == n && all[0].State == "succeeded"
		}
	}
	c.eventually("the first runs end", func() bool { return done("hourly", 1)() && done("fresh", 1)() })
	if next := timetable("hourly").NextAtUnixMs; next != start.Add(time.Hour).UnixMilli() {
		t.Errorf("next is at %v", time.UnixMilli(next).UTC())
	}
	for round := range 3 {
		leader := c.leader()
		c.stop(leader)
		passed.Add(int64(3*time.Hour + 10*time.Minute)) // three times are missed, or four
		there.Add(1)
		c.eventually("one run is made up for, and one finds what is new", func() bool { return done("hourly", round+2)() && done("fresh", round+2)() })
		c.start(leader, [2]net.Listener{})
	}
	at, table := start.Add(time.Duration(passed.Load())), timetable("hourly")
	if want := start.Add(10 * time.Hour); table.NextAtUnixMs != want.UnixMilli() {
		t.Errorf("at %v the next is at %v, not %v", at, time.UnixMilli(table.NextAtUnixMs).UTC(), want)
	}
	if run := runs("hourly")[0]; run.Trigger != "schedule" || table.Last != fmt.Sprintf("run %s succeeded: version 4", run.Id) || table.LastAtUnixMs != at.UnixMilli() {
		t.Errorf("run %v of %v", run, table)
	}
	if run, table := runs("fresh")[0], timetable("fresh"); run.Trigger != "new objects" || table.NextAtUnixMs != 0 || !table.OnNewObjects {
		t.Errorf("run %v of %v", run, table)
	}
	// A pause outlives its leader. What became due meanwhile is left out, and objects that
	// came meanwhile are new when it ends.
	set := func(paused bool) {
		t.Helper()
		for _, name := range []string{"hourly", "fresh"} {
			if _, err := client.SetSchedule(c.ctx(), &apiv1.SetScheduleRequest{Pipeline: name, Paused: paused}); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(true)
	leader := c.leader()
	c.stop(leader)
	passed.Add(int64(2 * time.Hour))
	there.Add(1)
	c.eventually("the times of the pause are left out", func() bool { return timetable("hourly").Last == "left out: the schedule was paused" })
	if !timetable("hourly").Paused || !done("hourly", 4)() || !done("fresh", 4)() {
		t.Errorf("a paused schedule starts runs: %v, %v", runs("hourly"), runs("fresh"))
	}
	c.start(leader, [2]net.Listener{})
	set(false)
	c.eventually("the new objects of the pause are found", done("fresh", 5))
	if !done("hourly", 4)() || timetable("hourly").Paused {
		t.Errorf("times of the pause are made up for: %v", runs("hourly"))
	}
	c.sameState()
}
