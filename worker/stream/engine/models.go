package engine

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/broadcast"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/checkpoint"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Model is one version of a model, and what it is byte for byte.
type Model struct {
	Name       thalweg.ModelName     `json:"model"`
	Version    thalweg.ModelVersion  `json:"model_version"`
	Checkpoint thalweg.CheckpointRef `json:"checkpoint"`
	// Rollout is the candidate that scores beside it, if there is one.
	Rollout commitlog.Rollout `json:"rollout,omitzero"`
}

// String returns the name and version, "flight-delays 3", with the candidate of a rollout.
func (m Model) String() string {
	if r := m.Rollout; r.Candidate != 0 {
		return fmt.Sprintf("%s %d, and %d of %d %%", m.Name, m.Version, r.Candidate, r.Percent)
	}
	return fmt.Sprintf("%s %d", m.Name, m.Version)
}

// InRollout reports whether a candidate scores beside the version.
func (m Model) InRollout() bool { return m.Rollout.Candidate != 0 }

// Arms returns the versions of a rollout, each alone: champion and candidate.
func (m Model) Arms() [rollout.Arms]Model {
	return [rollout.Arms]Model{{Name: m.Name, Version: m.Version, Checkpoint: m.Checkpoint},
		{Name: m.Name, Version: m.Rollout.Candidate, Checkpoint: m.Rollout.Checkpoint}}
}

// ModelOf returns the version that an intent pins.
func ModelOf(in *commitlog.Intent) Model {
	return Model{Name: in.Model, Version: in.ModelVersion, Checkpoint: in.Checkpoint, Rollout: in.Rollout}
}

// Candidate is a version that may score new events.
type Candidate struct {
	Model
	RegisteredAtUS int64 `json:"registered_at_us"` // microseconds since 1970 UTC, on the registry's clock
}

// Models tells a Scorer which version to use, and gets artifacts for it. Its
// methods may be called concurrently.
type Models interface {
	// Candidates returns the versions to score with: the champion first, then
	// what it replaced, newest first; none while nothing is registered. changed is
	// closed when that is no longer so.
	Candidates() (candidates []Candidate, changed <-chan struct{})
	// Load returns the artifact of any version, a candidate or not. Errors of
	// kind Unavailable may pass; others mean that the version cannot be used.
	Load(ctx context.Context, m Model) (*artifact.Artifact, error)
}

// Find returns one of the versions that events are scored with now, also the candidate of a
// rollout.
func Find(models Models, version thalweg.ModelVersion) (m Model, ok bool) {
	candidates, _ := models.Candidates()
	for _, c := range candidates {
		for _, m := range c.Arms() {
			if m.Version == version && version != 0 {
				return m, true
			}
		}
	}
	return Model{}, false
}

// Protects refuses a version that leaves values as they are which columns of a schema have
// pii for.
func Protects(ctx context.Context, models Models, m Model, schema *pipeline.SchemaSpec) error {
	if !schema.Private() {
		return nil
	}
	for arm, of := range m.Arms() {
		if arm == rollout.Candidate && !m.InRollout() {
			break
		}
		a, err := models.Load(ctx, of)
		if err == nil {
			err = a.Protects(schema)
		}
		switch {
		case err != nil && m.InRollout():
			return &ArmError{arm, err}
		case err != nil:
			return err
		}
	}
	return nil
}

// maxArtifacts bounds the artifacts that a Registry keeps: the champion, the
// one it replaces, and one that a claim is recovered with, of a few pipelines.
const maxArtifacts = 16

// Registry is the Models of a worker: what the coordinator says, and artifacts
// loaded from the bucket of checkpoints, each once for all partitions.
type Registry struct {
	// Schemas returns the registry of the schemas of events that a connection is
	// of. nil: there is none, and versions that need one cannot score. It is set
	// before the first Load.
	Schemas func(connection string) (events.Schemas, error)
	// Keys returns the key of a name that columns of events are hashed with. nil:
	// there is none, and versions that need one cannot score.
	Keys func(name string) (table.Key, error)
	// Log is told of schemas of events that have no field for a column. nil:
	// nobody is. It is set before the first Load.
	Log *slog.Logger

	bucket  storage.Bucket
	catalog pipeline.Catalog
	offers  broadcast.Notifier
	mu      struct {
		sync.Mutex
		candidates []Candidate
		artifacts  []*loading // the most recently used last
		refused    map[thalweg.CheckpointRef]refused
	}
}

// refused is why a checkpoint could not be loaded, and what was there then.
type refused struct {
	err   error
	there string // as stamp tells it
	at    time.Time
}

// refusalAge is how long a refusal is believed of a checkpoint whose objects have
// not changed as far as a listing tells: a store may mend what it damaged itself.
const refusalAge = time.Minute

// loading is an artifact, or an artifact to be.
type loading struct {
	ref      thalweg.CheckpointRef
	done     chan struct{} // closed when the rest is set
	artifact *artifact.Artifact
	err      error
}

var _ Models = (*Registry)(nil)

// NewRegistry returns a Registry without candidates.
func NewRegistry(bucket storage.Bucket, catalog pipeline.Catalog) *Registry {
	r := &Registry{bucket: bucket, catalog: catalog}
	r.mu.refused = make(map[thalweg.CheckpointRef]refused)
	return r
}

// Offer replaces the candidates.
func (r *Registry) Offer(candidates []Candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Equal(candidates, r.mu.candidates) {
		return
	}
	r.mu.candidates = slices.Clone(candidates)
	r.offers.Notify()
}

// Candidates implements Models.
func (r *Registry) Candidates() ([]Candidate, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.candidates, r.offers.Changed()
}

// Forget has the next Load of each refused checkpoint read it again.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.mu.refused)
}

// Load implements Models. Callers that want the same artifact share one load. What
// was refused is read again once its objects have changed, after refusalAge or
// Forget.
func (r *Registry) Load(ctx context.Context, m Model) (*artifact.Artifact, error) {
	for {
		l, mine := r.entry(m.Checkpoint)
		if mine {
			l.artifact, l.err = r.loadAgain(ctx, m)
			if l.err != nil {
				r.mu.Lock()
				r.mu.artifacts = slices.DeleteFunc(r.mu.artifacts, func(o *loading) bool { return o == l })
				r.mu.Unlock()
			}
			close(l.done)
			return l.artifact, l.err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Canceled, Subject: m.String(), Err: ctx.Err()}
		}
		if l.err == nil || !thalweg.Is(l.err, thalweg.Canceled) {
			return l.artifact, l.err
		}
		// Whoever loaded gave up, which is no news about the artifact.
	}
}

// entry returns the entry of a checkpoint and whether the caller has to fill
// it.
func (r *Registry) entry(ref thalweg.CheckpointRef) (l *loading, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.mu.artifacts, func(l *loading) bool { return l.ref == ref })
	if mine = i < 0; mine {
		i, l = 0, &loading{ref: ref, done: make(chan struct{})}
	} else {
		l = r.mu.artifacts[i]
	}
	if !mine || len(r.mu.artifacts) >= maxArtifacts {
		r.mu.artifacts = slices.Delete(r.mu.artifacts, i, i+1) // scorers that use it keep their own reference
	}
	r.mu.artifacts = append(r.mu.artifacts, l)
	return l, mine
}

// loadAgain is load, unless it is known that this must fail.
func (r *Registry) loadAgain(ctx context.Context, m Model) (*artifact.Artifact, error) {
	r.mu.Lock()
	last, known := r.mu.refused[m.Checkpoint]
	r.mu.Unlock()
	if known && time.Since(last.at) < refusalAge && r.stamp(ctx, m.Checkpoint) == last.there {
		return nil, last.err
	}
	a, err := r.load(ctx, m)
	kind := thalweg.KindOf(err)
	refusal := refused{err: err, at: time.Now()}
	if err != nil && !kind.Transient() && kind != thalweg.Canceled && kind != thalweg.Other {
		refusal.there = r.stamp(ctx, m.Checkpoint)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case refusal.there == "":
		delete(r.mu.refused, m.Checkpoint)
	case len(r.mu.refused) >= maxArtifacts:
		clear(r.mu.refused)
		fallthrough
	default:
		r.mu.refused[m.Checkpoint] = refusal
	}
	return a, err
}

// stamp says which objects a checkpoint has; "" if that cannot be told.
func (r *Registry) stamp(ctx context.Context, ref thalweg.CheckpointRef) string {
	text := "."
	dir := ref.Key[:strings.LastIndexByte(ref.Key, '/')+1]
	for info, err := range r.bucket.List(ctx, dir, "") {
		if err != nil || len(text) > maxStampBytes {
			return ""
		}
		text += fmt.Sprintf(" %s %d %s", info.Key, info.SizeBytes, info.ETag)
	}
	return text
}

// maxStampBytes is far more than the objects of a checkpoint have names.
const maxStampBytes = 1 << 20

func (r *Registry) load(ctx context.Context, m Model) (*artifact.Artifact, error) {
	fail := func(err error) error {
		e := &thalweg.Error{Op: "load model", Kind: thalweg.KindOf(err), Subject: m.String(), Err: err}
		if e.Kind == thalweg.NotFound || e.Kind == thalweg.Lost {
			e.Hint = "its checkpoint is gone: trainer.keep_checkpoints says how many versions keep theirs, and a purge removes all"
		}
		return e
	}
	parts, err := checkpoint.Load(ctx, r.bucket, m.Checkpoint)
	if err != nil {
		return nil, fail(err)
	}
	a, err := artifact.Decode(r.catalog, parts)
	if err != nil {
		return nil, fail(err)
	}
	if name := a.Spec.SchemaRegistry(); name != "" && r.Schemas != nil {
		if a.Schemas, err = r.Schemas(name); err != nil {
			return nil, fail(err)
		}
	}
	if r.Keys != nil {
		// Whoever has no key waits for it: another version may leave values as they are.
		if a.Key, err = a.HashedBy(r.Keys); err != nil {
			return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Unavailable, Subject: m.String(), Err: err,
				Hint: "give this worker the key in the file of --connections, and start it again"}
		}
	}
	if a.Monitoring, err = reference(ctx, r.bucket, m.Checkpoint, a.Plan()); err != nil {
		if !thalweg.Is(err, thalweg.Corrupt) {
			return nil, fail(err)
		}
		if r.Log != nil { // rows can be scored without
			r.Log.Warn("rows are not held against what the version was evaluated on", slog.String("model", m.String()), slog.String("reason", err.Error()))
		}
	}
	r.watch(m, a)
	return a, nil
}

// reference returns what a version was evaluated on; nil if that is not known.
func reference(ctx context.Context, bucket storage.Bucket, of thalweg.CheckpointRef, plan *pipeline.Plan) (*monitor.Reference, error) {
	body, _, err := bucket.Get(ctx, path.Join(path.Dir(of.Key), monitor.ObjectName))
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return monitor.Decode(plan, body)
}

// watch tells the log of columns that are null in every event because the
// schema of events has no field for them.
func (r *Registry) watch(m Model, a *artifact.Artifact) {
	if r.Log == nil {
		return
	}
	warn := func(schema, lacking string) {
		r.Log.Warn("the schema of events lacks fields: their columns are null", slog.String("model", m.String()),
			slog.String("schema", schema), slog.String("reason", lacking))
	}
	if lacking := a.LackingFields(); lacking != "" {
		warn(a.Spec.SchemaFile(), lacking)
	}
	a.Watch(func(id uint32, lacking string) { warn(strconv.FormatUint(uint64(id), 10), lacking) })
}
