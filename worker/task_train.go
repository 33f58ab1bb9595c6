package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/privacy"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/worker/average"
	"github.com/thalweg/thalweg/worker/train"
)

// trainTask is the lease of one replica. All replicas that a worker holds of a
// run share one training.
type trainTask struct {
	training *training
	lease    *apiv1.Lease
}

func newTrainTask(w *Worker, lease *apiv1.Lease) (runner, error) {
	t := w.trainings.of(w, lease)
	t.update(lease)
	return &trainTask{training: t, lease: lease}, nil
}

// run takes part in the training until it ends or the replica is another's.
func (t *trainTask) run(ctx context.Context) *apiv1.TaskReport {
	done := t.training.join(ctx)
	defer t.training.leave()
	select {
	case <-ctx.Done():
		return nil
	case <-done:
	}
	report := proto.CloneOf(t.training.report)
	switch {
	case report.Error == "":
		report.Counts = map[string]int64{"rows": t.training.progressOf(t.lease).RowsDone}
	case ctx.Err() != nil:
		return nil
	}
	return report
}

func (t *trainTask) update(lease *apiv1.Lease) { t.training.update(lease) }

func (t *trainTask) fill(req *apiv1.PollRequest) {
	req.Progress = append(req.Progress, t.training.progressOf(t.lease))
}

// trainings are the worker's trainings by run.
type trainings struct {
	mu struct {
		sync.Mutex
		byRun map[string]*training
	}
}

// of returns the training of a lease's run, new if there is none.
func (s *trainings) of(w *Worker, lease *apiv1.Lease) *training {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.mu.byRun[lease.RunId]
	if t == nil {
		t = &training{worker: w, first: lease, all: s, finished: make(chan struct{})}
		s.mu.byRun[lease.RunId] = t
	}
	t.holders++
	return t
}

// training is one run's training on this worker. It begins when the first
// replica joins and ends when the last has left.
type training struct {
	worker   *Worker
	first    *apiv1.Lease // of the lease that began it: spec and inputs are the run's
	all      *trainings
	holders  int // replicas held; guarded by all.mu
	start    sync.Once
	cancel   context.CancelFunc
	finished chan struct{}
	report   *apiv1.TaskReport  // of each of its replicas, once finished is closed
	moves    broadcast.Notifier // of replicas, and pauses
	mu       struct {
		sync.Mutex
		assignment average.Assignment
		paused     bool // until enough workers are there
		progress   train.Progress
		checkpoint string
	}
}

// join begins the training if this is its first replica.
func (t *training) join(ctx context.Context) (done <-chan struct{}) {
	t.start.Do(func() {
		runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		t.cancel = cancel
		go func() {
			defer close(t.finished)
			defer cancel()
			report, err := t.train(runCtx)
			if err != nil {
				report = failure(err)
			}
			t.report = report
		}()
	})
	return t.finished
}

// leave ends the training when no replica is left.
func (t *training) leave() {
	t.all.mu.Lock()
	t.holders--
	last := t.holders == 0
	if last {
		delete(t.all.mu.byRun, t.first.RunId)
	}
	t.all.mu.Unlock()
	if last {
		t.cancel()
		<-t.finished
	}
}

// update takes over who holds which replica now.
func (t *training) update(lease *apiv1.Lease) {
	next := make(average.Assignment, len(lease.Peers))
	for _, p := range lease.Peers {
		if int(p.Replica) < len(next) {
			next[p.Replica] = average.Holder{Worker: thalweg.WorkerID(p.Worker), Address: p.Address}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(next, t.mu.assignment) || lease.Paused != t.mu.paused {
		t.mu.assignment, t.mu.paused = next, lease.Paused
		t.moves.Notify()
	}
}

// Assignment implements average.Group.
func (t *training) Assignment() (average.Assignment, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.assignment, t.moves.Changed()
}

// ready waits while the run is paused.
func (t *training) ready(ctx context.Context) {
	for {
		t.mu.Lock()
		paused, changed := t.mu.paused, t.moves.Changed()
		t.mu.Unlock()
		if !paused {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// progressOf tells how far the replica of a lease is.
func (t *training) progressOf(lease *apiv1.Lease) *apiv1.Progress {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &apiv1.Progress{TaskId: lease.TaskId, Token: lease.Token, Message: t.mu.progress.Message, Checkpoint: t.mu.checkpoint,
		Exchange: t.mu.progress.Exchange}
	for _, r := range t.mu.progress.Replicas {
		if r.Replica == int(lease.Index) {
			p.RowsDone, p.RowsTotal = r.RowsDone, r.RowsTotal
		}
	}
	return p
}

// checkpointShare is the part of a training's time that its checkpoints may take. The more they
// may, the less is computed again where all workers are lost.
const checkpointShare = 0.1

// train builds the job from what the stages before have left, and runs it.
func (t *training) train(ctx context.Context) (*apiv1.TaskReport, error) {
	in, err := t.worker.openTraining(ctx, t.first)
	if err != nil {
		return nil, err
	}
	hooks := train.Hooks{
		Ready: t.ready,
		Progress: func(p train.Progress) {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.mu.progress = p
		},
		Checkpoint: func(ctx context.Context, c *train.Checkpoint) error {
			reference, _, err := in.save(ctx, fmt.Sprintf("%s%s/checkpoints/", runsDir, t.first.RunId), c)
			if err != nil {
				return err
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			t.mu.checkpoint = reference
			return nil
		},
	}
	session, err := t.worker.exchange.Join(average.Run{
		ID: in.job.Run, Worker: t.worker.cfg.ID, Fingerprint: in.job.Fingerprint()}, t, t.worker.exchangeConfig())
	if err != nil {
		return nil, err
	}
	defer session.Leave()
	log := t.worker.logOf(t.first)
	result, err := train.Run(ctx, in.job, session, hooks, train.Config{
		Dir: t.worker.cfg.spillDir(), MemoryBytes: t.worker.cfg.CacheBytes, CheckpointShare: checkpointShare, Yield: t.worker.cfg.Memory.Yield, Logger: log})
	if err != nil {
		return nil, in.withExtremes(ctx, err)
	}
	t.worker.metrics.epochs.Add(float64(result.Epochs))
	t.worker.metrics.rounds.Add(float64(result.Rounds))
	log.Info("training stopped", keyReason, result.Stopped, "epochs", result.Epochs, "best_epoch", result.BestEpoch, "metrics", result.Metrics)
	// Every worker that was there at the end saves the same bytes under the same
	// name, so each can vouch for what it reports.
	reference, encoded, err := in.save(ctx, checkpointsDir+t.first.RunId+"/", &result.Checkpoint)
	if err != nil {
		return nil, err
	}
	metrics := map[string]float64{"train.best_epoch": float64(result.BestEpoch), "train.epochs": float64(result.Epochs), "train.rounds": float64(result.Rounds)}
	if in.job.Trainer.Sparse() {
		zeros, weights := model.Zeros(in.job.Model, result.Params)
		metrics["train.zero_weights"], metrics["train.weights"] = float64(zeros), float64(weights)
	}
	outputs := map[string]string{"checkpoint": reference, "model_sha256": encoded.ModelSHA256(), "transform_hash": in.transform.Hash(), "curve": api.Table(result.Curve)}
	if f := encoded.Model.Forest(); f != nil {
		outputs["importance"] = api.Table(encoded.Model.Importance(result.Params))
		metrics["train.trees"] = float64(f.Count(result.Params))
	} else if n := encoded.Model.Keeps(); n > 0 {
		metrics["train.kept_rows"] = float64(n)
	} else if encoded.Model.Deep() {
		metrics["train.parameters"] = float64(encoded.Model.Size())
	} else {
		outputs["weights"] = api.Table(shortWeights(encoded))
	}
	if s := result.Spent; s != nil {
		metrics["train.epsilon"], metrics["train.delta"], metrics["train.private_steps"] = s.Epsilon, s.Delta, float64(s.Steps)
	}
	if in.started != "" {
		outputs["started"] = in.started
	}
	warnings := stillImproving(in.job.Model, result)
	if _, ok := result.Metrics[metric.Threshold]; in.job.Optimize != "" && !ok {
		warnings = append(warnings, fmt.Sprintf("no threshold could be chosen by %s of the validation rows: it is %v", in.job.Optimize, undecided))
	}
	if want := t.first.Inputs[trialModelInput]; want != "" && want != outputs["model_sha256"] {
		warnings = append(warnings, fmt.Sprintf("the model is not the one of the best trial, %s: workers may be of different builds", want))
	}
	return &apiv1.TaskReport{Warnings: warnings, Outputs: outputs, Metrics: metrics}, nil
}

// shortWeights returns the weights of an artifact, with the beginnings of long values.
func shortWeights(a *artifact.Artifact) []artifact.Weight {
	weights := a.Weights()
	for i := range weights {
		weights[i].Value = brief(weights[i].Value)
	}
	return weights
}

// brief returns a value, of a long one the beginning.
func brief(value string) string {
	const most = 80
	if len(value) > most {
		return strings.ToValidUTF8(value[:most], "") + "…"
	}
	return value
}

// trainingInputs is what training reads, and what its checkpoints are made of.
type trainingInputs struct {
	*shardRows
	job   train.Job
	model artifact.Artifact
	// started says what training starts from; empty where it starts anew.
	started string
}

// openTraining reads the outputs of the stages before.
func (w *Worker) openTraining(ctx context.Context, lease *apiv1.Lease) (*trainingInputs, error) {
	rows, err := w.openRows(ctx, lease)
	if err != nil {
		return nil, err
	}
	parent, err := w.parent(ctx, lease, rows.plan)
	if err != nil {
		return nil, err
	}
	in, err := newTraining(rows, thalweg.RunID(lease.RunId), lease.Inputs["manifest"]+" "+lease.Inputs["split"]+" "+lease.Inputs["learnt"]+" "+lease.Inputs["transform"])
	if err != nil {
		return nil, err
	}
	if in.job.MostWeight > 0 {
		in.job.Input += " " + lease.Inputs["balance"]
	}
	if parent != nil {
		var got artifact.Inherited
		if in.job.Start, got, err = in.model.StartFrom(parent.Artifact); err != nil {
			return nil, err
		}
		in.job.Input += " " + lease.Inputs[stages.ParentInput]
		in.model.Provenance.Parent = &artifact.Parent{Version: parent.number, Model: parent.ModelSHA256()}
		in.started = parent.inheritedText(got)
	}
	if name := rows.plan.Spec.NoiseKey(); name != "" {
		key, err := w.connections.Key(name)
		if err != nil {
			return nil, err
		}
		// Neither the run nor who trains is in it: the same key, rows and spec give the same model.
		in.job.Noise = privacy.NewSource(key.Derive("thalweg private training"), in.noiseOf(lease))
		in.job.Input += " " + key.ID()
	}
	if ref, ok := lease.Inputs["reference"]; ok {
		if err := w.load(ctx, ref, "reference", &in.model.References); err != nil {
			return nil, err
		}
	}
	if lease.ResumeFrom == "" {
		return in, nil
	}
	in.job.Resume, err = w.checkpoint(ctx, lease.ResumeFrom)
	return in, err
}

// noiseOf names all that private training depends on: other noise is of anything else, even
// where the model would be the same.
func (in *trainingInputs) noiseOf(lease *apiv1.Lease) string {
	p := in.model.Provenance
	_, manifest, _ := strings.Cut(lease.Inputs["manifest"], "#") // with lookups, labels and the key of columns
	of := strings.Join([]string{in.manifest.Hash(), manifest, p.Spec, p.Transform, in.source.Key.ID()}, " ")
	for _, o := range in.manifest.Objects {
		if o.ETag == "" && o.Version == "" {
			return of + " " + lease.RunId // the store does not tell whether an object is the one it was
		}
	}
	return of
}

// newTraining returns the training of a run's model on rows, which input identifies.
func newTraining(rows *shardRows, run thalweg.RunID, input string) (*trainingInputs, error) {
	m, err := artifact.New(rows.plan, rows.transform)
	if err != nil {
		return nil, err
	}
	m.EventSchema = rows.events
	if rows.plan.Spec.SaysSplit() {
		m.Cuts = &rows.cuts
	}
	in := &trainingInputs{shardRows: rows, model: *m}
	in.job = train.Job{
		Metrics: rows.plan.Spec.Entries(pipeline.Metrics),
		Run:     run, Trainer: artifact.Trainer(rows.plan, rows.transform), Model: m.Model,
		Threshold: rows.plan.Label.Threshold, Optimize: rows.plan.Label.Optimize, Shards: len(rows.manifest.Shards), Rows: rows, Input: input,
	}
	if w := rows.weighing; w != nil {
		in.job.MostWeight = w.Most()
	}
	return in, nil
}

// undecided is the threshold where the validation rows do not say which is best.
const undecided = 0.5

// trained returns the artifact of a checkpoint.
func (in *trainingInputs) trained(c *train.Checkpoint) *artifact.Artifact {
	a := in.model
	a.SetParams(c.Params)
	a.Dataset = in.manifest.JSON()
	a.Provenance.Dataset, a.Provenance.Key = in.manifest.Hash(), in.source.Key.ID()
	a.Provenance.Epochs, a.Provenance.Rounds, a.Provenance.Privacy = c.Epochs, int64(c.Rounds), c.Spent
	a.Provenance.LabelMeans = c.LabelMeans
	a.Provenance.Metrics = make(map[string]float64, len(c.Metrics))
	for name, v := range c.Metrics {
		a.Provenance.Metrics["validation."+name] = v
	}
	if in.job.Optimize != "" {
		threshold, ok := c.Metrics[metric.Threshold]
		if !ok {
			threshold = undecided
		}
		a.Provenance.Threshold = &threshold
	}
	return &a
}

// save writes a checkpoint that can be served and resumed from. It lies below a
// directory of its run, so that no other run depends on the same objects.
func (in *trainingInputs) save(ctx context.Context, dir string, c *train.Checkpoint) (string, *artifact.Artifact, error) {
	a := in.trained(c)
	parts, err := a.Encode(c.Parts)
	if err != nil {
		return "", nil, err
	}
	ref, err := checkpoint.Save(ctx, in.worker.state, dir, parts)
	return ref.String(), a, err
}
