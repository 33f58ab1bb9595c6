package view

import (
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
)

// TestAStreamIsSummedUpByWhatNeedsSomebody: what is not known of all partitions is not
// told of the stream, its lag is that of the partition that is furthest behind, and a
// stream that makes no rows does not just say that it runs.
func TestAStreamIsSummedUpByWhatNeedsSomebody(t *testing.T) {
	part := func(state string, change func(*apiv1.StreamPartition)) *apiv1.StreamPartition {
		p := &apiv1.StreamPartition{State: state, Committed: 7, Scored: 7, End: 9, ScoredRows: 7}
		change(p)
		return p
	}
	same := func(*apiv1.StreamPartition) {}
	unknown := &apiv1.StreamPartition{State: thalweg.StreamWaiting, Committed: -1, Scored: -1, End: -1, LagSeconds: -1, Message: "no champion yet"}
	for name, c := range map[string]struct {
		parts             []*apiv1.StreamPartition
		state, message    string
		rows, dead, lag   int64
		lagSeconds, speed float64
	}{
		"it runs":    {[]*apiv1.StreamPartition{part("running", same)}, "running", "", 7, 0, 2, 0, 0},
		"no model":   {[]*apiv1.StreamPartition{unknown}, "waiting", "no champion yet", -1, -1, -1, -1, 0},
		"one waits":  {[]*apiv1.StreamPartition{part("running", func(p *apiv1.StreamPartition) { p.LagSeconds, p.RowsPerSecond = 3, 4 }), unknown}, "waiting", "no champion yet", -1, -1, -1, 3, 4},
		"the oldest": {[]*apiv1.StreamPartition{part("running", func(p *apiv1.StreamPartition) { p.LagSeconds = 3 }), part("paused", func(p *apiv1.StreamPartition) { p.LagSeconds = 90 })}, "paused", "", 14, 0, 4, 90, 0},
		"only dead": {[]*apiv1.StreamPartition{part("running", func(p *apiv1.StreamPartition) { p.ScoredRows, p.DeadLetters = 0, 7 })}, "running",
			"every event so far is a dead letter: `thalweg dlq list p` says why", 0, 7, 2, 0, 0},
		"no progress": {[]*apiv1.StreamPartition{part("running", func(p *apiv1.StreamPartition) { p.ScoredRows = 0 })}, "running", "no event has been scored yet", 0, 0, 2, 0, 0},
	} {
		v := sum("p", c.parts)
		if v.State != c.state || v.Message != c.message || v.ScoredRows != c.rows || v.DeadLetters != c.dead || v.LagEvents != c.lag || v.LagSeconds != c.lagSeconds || v.RowsPerSecond != c.speed {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// TestWhatNeedsSomebodyIsTold: a node that is gone or only reads, a certificate that runs
// out, a worker that is lost, builds that differ.
func TestWhatNeedsSomebodyIsTold(t *testing.T) {
	now := time.UnixMilli(1_780_000_000_000)
	in := func(d time.Duration) int64 { return now.Add(d).UnixMilli() }
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		nodes   []*apiv1.Node
		workers []*apiv1.Worker
		needed  bool
		age     int64
		want    string
	}{
		"nothing":               {[]*apiv1.Node{{Id: "c1", State: NodeLeader, Version: "v1"}}, []*apiv1.Worker{{Id: "w1", State: "alive", Version: "v1"}}, true, 0, ""},
		"a node is gone":        {[]*apiv1.Node{{Id: "c2", Address: "h:1", State: NodeUnreachable}}, nil, false, 0, "error node c2: is unreachable at h:1"},
		"a disk is full":        {[]*apiv1.Node{{Id: "c2", ReadOnly: "no space"}}, nil, false, 0, "error node c2: only reads: no space"},
		"a certificate is over": {[]*apiv1.Node{{Id: "c2", CertificateExpiresAtUnixMs: in(-day)}}, nil, false, 0, "error node c2: its certificate has expired"},
		"it will be":            {nil, []*apiv1.Worker{{Id: "w1", State: "alive", CertificateExpiresAtUnixMs: in(10 * day)}}, false, 0, "warning worker w1: its certificate expires on 2026-06-07"},
		"it is good for long":   {nil, []*apiv1.Worker{{Id: "w1", State: "alive", CertificateExpiresAtUnixMs: in(40 * day)}}, false, 0, ""},
		"a worker is lost":      {nil, []*apiv1.Worker{{Id: "w1", State: "alive"}, {Id: "w2", State: "lost", LastSeenUnixMs: in(-90 * time.Second)}}, true, 0, "error worker w2: was last heard of 1m30s ago"},
		"none works":            {nil, nil, true, 0, "error cluster: there is work, and no worker"},
		"nobody leads":          {nil, nil, false, -1, "error cluster: no leader answers"},
		"two builds":            {[]*apiv1.Node{{Id: "c1", Version: "v1"}, {Id: "c2"}}, []*apiv1.Worker{{Id: "w1", State: "alive", Version: "v2"}}, false, 0, "warning cluster: nodes run different builds: 1 with v1, 1 with v2"},
	} {
		a := attention{now: now}
		v := &apiv1.StatusResponse{Nodes: c.nodes, Workers: c.workers, AgeMs: c.age}
		a.nodes(v)
		a.workers(v.Workers, c.needed)
		a.versions(v)
		var told []string
		for _, f := range a.found {
			told = append(told, f.Severity+" "+f.Subject+": "+f.Message)
		}
		if got := strings.Join(told, "\n"); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) || len(told) > 1 {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}
