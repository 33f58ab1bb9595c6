package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/retry"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// maxPinned is how many versions besides the current one an endpoint keeps loaded, for who
// asks for them by number or alias.
const maxPinned = 4

// loadBackoff spaces the tries to load a version that is wanted.
var loadBackoff = retry.Backoff{Min: 500 * time.Millisecond, Max: 30 * time.Second}

// Offered is a version that can be asked for, and its aliases.
type Offered struct {
	engine.Model
	Aliases []string
}

// EndpointConfig is what an endpoint answers with.
type EndpointConfig struct {
	Pipeline   string
	Generation thalweg.Generation
	Alias      string               // that the current version follows
	Schema     *pipeline.SchemaSpec // of the newest spec: what it protects, a version has to; may be nil
	Limits     Limits
	Engine     engine.Config
}

// Endpoint answers for one pipeline: with the version that its alias names or, while that
// cannot be loaded, the one it replaced; or with one that a request names.
type Endpoint struct {
	cfg     EndpointConfig
	models  engine.Models
	metrics *Metrics
	log     *slog.Logger
	current atomic.Pointer[Version]
	// inherited is the version of an endpoint before, which answers by an earlier spec.
	inherited *Version
	stats     stats
	mu        struct {
		sync.Mutex
		offered []Offered
		pinned  []*pinned // the most recently used last
		why     string    // there is no current version, or not the one that is wanted
		refused map[engine.Model]error
	}
}

// pinned is a version that a request has named.
type pinned struct {
	model  engine.Model
	loaded chan struct{} // closed once the rest is set
	*Version
	err error
}

// NewEndpoint returns an endpoint that answers once Run has loaded a version.
func NewEndpoint(cfg EndpointConfig, models engine.Models, metrics *Metrics, log *slog.Logger) *Endpoint {
	e := &Endpoint{cfg: cfg, models: models, metrics: metrics, log: log}
	e.mu.why = "its model is being loaded"
	e.mu.refused = make(map[engine.Model]error)
	return e
}

// Offer says which versions there are.
func (e *Endpoint) Offer(versions []Offered) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.offered = versions
	e.mu.pinned = slices.DeleteFunc(e.mu.pinned, func(p *pinned) bool {
		return !slices.ContainsFunc(versions, func(o Offered) bool { return o.Model == p.model })
	})
}

// Run keeps the current version the one that is wanted, until ctx ends. The one before
// answers until another is ready, and goes on with what it has begun.
func (e *Endpoint) Run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		candidates, changed := e.models.Candidates()
		wait := time.Duration(0)
		if e.follow(ctx, candidates) {
			failures = 0
		} else {
			failures++
			wait = loadBackoff.Delay(failures, nil)
		}
		again := time.NewTimer(wait)
		if wait == 0 {
			again.Stop()
		}
		select {
		case <-changed:
			failures = 0
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// follow makes the first candidate that can be loaded the current version, and reports
// whether that is the first of all.
func (e *Endpoint) follow(ctx context.Context, candidates []engine.Candidate) bool {
	refused := make(map[engine.Model]error)
	why := ""
	if len(candidates) == 0 {
		why = fmt.Sprintf("its model has no %s yet", e.cfg.Alias)
	}
	first := true
	for _, c := range candidates {
		v := e.current.Load()
		var err error
		if v == nil || v.Model != c.Model || v == e.inherited {
			v, err = e.load(ctx, c.Model)
		}
		if err == nil {
			if before := e.current.Swap(v); before != v {
				e.log.Info("serving", "model", v.Model.String())
			}
			break
		}
		first, why, refused[c.Model] = false, cmp.Or(why, err.Error()), err
	}
	e.mu.Lock()
	e.mu.why, e.mu.refused = why, refused
	e.mu.Unlock()
	return first
}

// takeOver has an endpoint answer as another does until it has a version of its own. It is
// called before Run. Where a new spec may protect more, nothing is taken over.
func (e *Endpoint) takeOver(from *Endpoint) {
	if e.cfg.Schema.Private() && !reflect.DeepEqual(e.cfg.Schema, from.cfg.Schema) {
		return
	}
	e.inherited = from.current.Load()
	e.current.Store(e.inherited)
}

// load makes a version ready to answer.
func (e *Endpoint) load(ctx context.Context, m engine.Model) (*Version, error) {
	if err := engine.Protects(ctx, e.models, m, e.cfg.Schema); err != nil {
		return nil, err
	}
	a, err := e.models.Load(ctx, m)
	var v *Version
	if err == nil {
		v, err = NewVersion(m, e.cfg.Generation, a, e.cfg.Engine, e.cfg.Limits, e.metrics, e.cfg.Pipeline)
	}
	switch {
	case err != nil && m.InRollout():
		return nil, &engine.ArmError{Arm: rollout.Champion, Err: err}
	case err != nil || !m.InRollout():
		return v, err
	}
	if a, err = e.models.Load(ctx, m.Arms()[rollout.Candidate]); err != nil {
		return nil, err
	}
	return v, v.rollOut(a, e.cfg.Engine)
}

// Status returns the version that answers, 0 if there is none, and what keeps the one that is
// wanted from it.
func (e *Endpoint) Status() (version thalweg.ModelVersion, why string) {
	if v := e.current.Load(); v != nil {
		version = v.Model.Version
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return version, e.mu.why
}

// Refused returns the versions that cannot be loaded, and why.
func (e *Endpoint) Refused() map[engine.Model]error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.refused
}

// Versions returns the numbers of those that can be asked for.
func (e *Endpoint) Versions() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.mu.offered {
		all = append(all, strconv.FormatUint(uint64(o.Version), 10))
	}
	return all
}

// Version returns the version that a request names: by number, by alias, or "" for the
// current one.
func (e *Endpoint) Version(ctx context.Context, name string) (*Version, error) {
	v := e.current.Load()
	if name == "" || name == e.cfg.Alias {
		if v == nil {
			_, why := e.Status()
			return nil, &thalweg.Error{Op: "score", Kind: thalweg.Unavailable, Subject: "pipeline " + e.cfg.Pipeline, Err: errors.New(why)}
		}
		return v, nil
	}
	m, known := e.named(name)
	switch {
	case !known:
		return nil, &thalweg.Error{Op: "score", Kind: thalweg.NotFound, Subject: fmt.Sprintf("version %.64q of pipeline %s", name, e.cfg.Pipeline),
			Hint: "a number or an alias of one that has its checkpoint: `thalweg models` lists them"}
	case v != nil && v.Model == m:
		return v, nil
	}
	return e.pin(ctx, m)
}

// named returns the version with a number or an alias.
func (e *Endpoint) named(name string) (engine.Model, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	number, err := strconv.ParseUint(name, 10, 64)
	for _, o := range e.mu.offered {
		if err == nil && o.Version == thalweg.ModelVersion(number) || slices.Contains(o.Aliases, name) {
			return o.Model, true
		}
	}
	return engine.Model{}, false
}

// pin returns a version that is not the current one. Those who want the same share one load,
// which goes on if who began it gives up.
func (e *Endpoint) pin(ctx context.Context, m engine.Model) (*Version, error) {
	e.mu.Lock()
	i := slices.IndexFunc(e.mu.pinned, func(p *pinned) bool { return p.model == m })
	var p *pinned
	if i >= 0 {
		p = e.mu.pinned[i]
		e.mu.pinned = slices.Delete(e.mu.pinned, i, i+1)
	} else {
		if len(e.mu.pinned) == maxPinned {
			oldest := slices.IndexFunc(e.mu.pinned, (*pinned).isLoaded)
			if oldest < 0 {
				e.mu.Unlock()
				return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Throttled, Subject: m.String(), Err: fmt.Errorf("%d other versions are being loaded", maxPinned)}
			}
			e.mu.pinned = slices.Delete(e.mu.pinned, oldest, oldest+1)
		}
		p = &pinned{model: m, loaded: make(chan struct{})}
		go e.fill(context.WithoutCancel(ctx), p)
	}
	e.mu.pinned = append(e.mu.pinned, p)
	e.mu.Unlock()
	select {
	case <-p.loaded:
		return p.Version, p.err
	case <-ctx.Done():
		return nil, &thalweg.Error{Op: "load model", Kind: thalweg.Canceled, Subject: m.String(), Err: context.Cause(ctx)}
	}
}

// isLoaded reports whether its load has ended.
func (p *pinned) isLoaded() bool {
	select {
	case <-p.loaded:
		return true
	default:
		return false
	}
}

// pinTimeout bounds the load of a version that a request has named.
const pinTimeout = time.Minute

// fill loads a pinned version; one that cannot be loaded is forgotten, so that the next
// request tries again.
func (e *Endpoint) fill(ctx context.Context, p *pinned) {
	ctx, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	if p.Version, p.err = e.load(ctx, p.model); p.err != nil {
		e.mu.Lock()
		e.mu.pinned = slices.DeleteFunc(e.mu.pinned, func(o *pinned) bool { return o == p })
		e.mu.Unlock()
	}
	close(p.loaded)
}
