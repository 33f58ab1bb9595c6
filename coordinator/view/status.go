package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/liveness"
	"github.com/thalweg/thalweg/coordinator/state"
)

// The states of a coordinator, as shown.
const (
	NodeLeader      = "leader"
	NodeFollower    = "follower"
	NodeJoining     = "joining" // it gets the log, and has no vote yet
	NodeUnreachable = "unreachable"
)

// Bounds of an answer, which people read.
const (
	maxStatusRuns = 100
	maxAttention  = 100
	// maxReason is how much of a reason is told; the verbs that are named tell all.
	maxReason = 400
	// certificateWarning is how long before a certificate expires somebody is told.
	certificateWarning = 30 * 24 * time.Hour
)

// Status adds to an answer that has its nodes, and the pipelines that the caller may see,
// what the cluster does and what somebody should do about it. Workers, and how far
// streams are, a leader alone knows.
func Status(v *apiv1.StatusResponse, s *state.State, l *liveness.Liveness, now time.Time, leads bool) {
	found := Conditions(v, s, l, now, leads)
	v.Attention = found[:min(maxAttention, len(found))]
}

// Conditions is Status, and returns all that is the matter instead, the worst first.
func Conditions(v *apiv1.StatusResponse, s *state.State, l *liveness.Liveness, now time.Time, leads bool) []*apiv1.Attention {
	a, progress := attention{now: now}, l
	a.nodes(v)
	if !leads {
		progress = nil // nobody told this node, nor can it say for which workers a run waits
	} else {
		v.Workers = l.Workers(s, now)
		a.workers(v.Workers, len(s.ActiveRuns()) > 0 || len(s.WaitingJobs()) > 0 || scores(s))
	}
	a.versions(v)
	runs := s.RunsByPipeline()
	for _, p := range v.Pipelines {
		pipe := s.Pipeline(thalweg.PipelineName(p.Name))
		newest := runs[pipe.Name]
		if len(newest) > 0 && newest[0].State == state.RunFailed {
			a.add(alert.RunFailed, p.Name, "run "+string(newest[0].ID), "failed in %s: %s; `thalweg runs show %s` tells more", newest[0].Stage().Name, shorten(newest[0].Error), newest[0].ID)
		}
		if len(newest) > 0 && newest[0].Counts[stages.SkippedShards] > 0 {
			a.add(alert.ShardsSkipped, p.Name, "run "+string(newest[0].ID), "left %d bad shards out, sources.train.on_bad_shard: `thalweg runs show %s` names them", newest[0].Counts[stages.SkippedShards], newest[0].ID)
		}
		if len(newest) > 0 && newest[0].State == state.RunSucceeded && newest[0].Outputs[stages.RejectedOutput] != "" {
			a.add(alert.GatesFailed, p.Name, "run "+string(newest[0].ID), "its version %d does not pass its gates: %s; the champion stays", newest[0].Version, shorten(newest[0].Outputs[stages.RejectedOutput]))
		}
		if r := s.Run(pipe.ActiveRun); r != nil {
			a.memory(r, pipe, v.Workers)
			v.ActiveRuns = append(v.ActiveRuns, Run(r, progress, false))
		}
		if sum := Stream(s, pipe, l, now); sum != nil {
			v.Streams = append(v.Streams, sum)
			a.stream(sum, pipe)
		}
		a.rollout(s.Rollout(pipe), pipe)
		endpoints := Endpoints(s, pipe, l)
		v.Endpoints = append(v.Endpoints, endpoints...)
		a.service(endpoints)
		if p.Deletion != "" && pipe.Deletion.Failed != "" {
			a.add(alert.DeletionStuck, p.Name, "pipeline "+p.Name, "its deletion does not get on: %s", shorten(p.Deletion))
		}
	}
	slices.SortStableFunc(v.ActiveRuns, func(x, y *apiv1.Run) int { return cmp.Compare(x.StartedAtUnixMs, y.StartedAtUnixMs) })
	v.ActiveRunsTotal = uint32(len(v.ActiveRuns))
	v.ActiveRuns = v.ActiveRuns[:min(maxStatusRuns, len(v.ActiveRuns))]
	slices.SortStableFunc(a.found, func(x, y *apiv1.Attention) int { return cmp.Compare(rank(x), rank(y)) })
	return a.found
}

// scores reports whether any stream is to be scored.
func scores(s *state.State) bool {
	for p := range s.Pipelines() {
		if s.Scores(p) && !p.Paused {
			return true
		}
	}
	return false
}

func rank(a *apiv1.Attention) int {
	if a.Severity == alert.Error {
		return 0
	}
	return 1
}

func shorten(s string) string {
	if len(s) > maxReason {
		return s[:maxReason] + "…"
	}
	return s
}

// attention collects what somebody should look at.
type attention struct {
	now   time.Time
	found []*apiv1.Attention
}

// add notes that a rule's condition holds, of a pipeline or, where that is empty, of the
// cluster.
func (a *attention) add(rule, pipeline, subject, format string, args ...any) {
	of, _ := alert.RuleOf(rule)
	a.found = append(a.found, &apiv1.Attention{Severity: of.Severity, Subject: subject, Message: fmt.Sprintf(format, args...), Rule: rule, Pipeline: pipeline})
}

func (a *attention) nodes(v *apiv1.StatusResponse) {
	if v.AgeMs != 0 {
		a.add(alert.CoordinatorUnreachable, "", "cluster", "no leader answers: nothing can be changed until a majority of the coordinators does")
	}
	for _, n := range v.Nodes {
		name := "node " + n.Id
		if n.State == NodeUnreachable {
			a.add(alert.CoordinatorUnreachable, "", name, "is unreachable at %s: start it, or replace it and `thalweg members remove %s`", n.Address, n.Id)
		}
		if n.ReadOnly != "" {
			a.add(alert.CoordinatorReadOnly, "", name, "only reads: %s", n.ReadOnly)
		}
		a.certificate(name, n.CertificateExpiresAtUnixMs)
	}
}

func (a *attention) workers(workers []*apiv1.Worker, needed bool) {
	alive := false
	for _, w := range workers {
		name := "worker " + w.Id
		if w.State == liveness.Lost {
			a.add(alert.WorkerLost, "", name, "was last heard of %v ago: its work has moved to others; start it again, or leave it if it is not to come back", a.now.Sub(time.UnixMilli(w.LastSeenUnixMs)).Round(time.Second))
			continue
		}
		alive = true
		a.certificate(name, w.CertificateExpiresAtUnixMs)
		if w.NoRoom {
			a.add(alert.WorkerDiskFull, "", name, "its disk is full: it takes no tasks of runs until there is room in its --dir")
		}
	}
	if needed && !alive {
		a.add(alert.NoWorker, "", "cluster", "there is work, and no worker: start one")
	}
}

func (a *attention) certificate(name string, expiresMS int64) {
	switch left := time.UnixMilli(expiresMS).Sub(a.now); {
	case expiresMS == 0 || left > certificateWarning:
	case left <= 0:
		a.add(alert.CertificateExpired, "", name, "its certificate has expired: give it another one, `thalweg init node … --renew`")
	default:
		a.add(alert.CertificateExpires, "", name, "its certificate expires on %s: give it another one before, `thalweg init node … --renew`", time.UnixMilli(expiresMS).UTC().Format(time.DateOnly))
	}
}

// versions warns of several builds: an upgrade is to end some day.
func (a *attention) versions(v *apiv1.StatusResponse) {
	builds := make(map[string]int)
	for _, n := range v.Nodes {
		builds[n.Version]++
	}
	for _, w := range v.Workers {
		builds[w.Version]++
	}
	delete(builds, "") // it did not tell
	if len(builds) < 2 {
		return
	}
	text := ""
	for _, name := range slices.Sorted(maps.Keys(builds)) {
		text += fmt.Sprintf(", %d with %s", builds[name], name)
	}
	for _, n := range v.Nodes {
		if n.Level > v.Level {
			text += "; what is new in it waits until all coordinators have it"
			break
		}
	}
	a.add(alert.BuildsDiffer, "", "cluster", "nodes run different builds: %s", text[2:])
}

// memory tells of a run that no worker can take.
func (a *attention) memory(r *state.Run, p *state.Pipeline, workers []*apiv1.Worker) {
	spec := p.Spec(r.Generation)
	workers = slices.DeleteFunc(slices.Clone(workers), func(w *apiv1.Worker) bool { return w.State == liveness.Lost })
	if spec == nil || spec.WorkerBytes == 0 || len(workers) == 0 {
		return
	}
	largest := int64(0)
	for _, w := range workers {
		if w.MemoryBytes == 0 {
			return // it takes anything
		}
		largest = max(largest, w.MemoryBytes)
	}
	if largest < spec.WorkerBytes {
		a.add(alert.RunWaits, string(r.Pipeline), "run "+string(r.ID), "waits for a worker with %d MiB of memory, resources.worker.memory: the largest has %d MiB", spec.WorkerBytes>>20, largest>>20)
	}
}

// service tells of a pipeline for which nobody answers although there is a version.
func (a *attention) service(endpoints []*apiv1.Endpoint) {
	for _, e := range endpoints {
		if e.State == EndpointServing && e.Message == "" {
			return
		}
	}
	for _, e := range endpoints {
		if e.Worker != "" && e.Message != "" {
			a.add(alert.ServiceDegraded, e.Pipeline, "service "+e.Pipeline, "worker %s: %s", e.Worker, shorten(e.Message))
			return
		}
	}
}

func (a *attention) stream(v *apiv1.StreamSummary, p *state.Pipeline) {
	switch {
	case v.State == thalweg.StreamStopped:
		a.add(alert.StreamStopped, v.Pipeline, "stream "+v.Pipeline, "stopped: %s", shorten(cmp.Or(v.Message, "`thalweg stream status "+v.Pipeline+"` tells more")))
	case v.TargetLagSeconds > 0 && v.LagSeconds > v.TargetLagSeconds && !p.Paused:
		a.add(alert.StreamLag, v.Pipeline, "stream "+v.Pipeline, "is %v behind, and may be %v: no run begins tasks on its workers; it wants %d workers and %d have its partitions",
			time.Duration(v.LagSeconds*float64(time.Second)).Round(time.Second/10), time.Duration(v.TargetLagSeconds*float64(time.Second)), v.WantedWorkers, v.Workers)
	case p.PauseReason != "":
		a.add(alert.StreamPaused, v.Pipeline, "stream "+v.Pipeline, "was paused: %s; `thalweg stream resume %s` lets it go on", shorten(p.PauseReason), v.Pipeline)
	}
}
