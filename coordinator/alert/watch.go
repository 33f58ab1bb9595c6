package alert

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
)

// Condition is something that is the matter now.
type Condition struct {
	Rule     string
	Pipeline thalweg.PipelineName // empty: it concerns the cluster
	Subject  string
	Message  string
}

// id names what a condition is about.
func (c Condition) id() string { return c.Rule + " " + c.Subject }

// Pending is a condition that has not held for long enough.
type Pending struct {
	Condition
	Severity string
	Since    time.Time
	Fires    time.Time // if it holds until then
}

// Watch remembers since when conditions hold. It is soft: the next leader begins anew, so that
// a change of leaders puts off what does not fire yet. Its methods may be called concurrently.
type Watch struct {
	mu struct {
		sync.Mutex
		since   map[string]time.Time
		pending []Pending
	}
}

// Look holds conditions against a book, and returns what is to be changed. wanted says what a
// pipeline's spec wants, nil where it wants nothing, and cluster which webhooks get the alerts
// of the cluster.
func (w *Watch) Look(now time.Time, conditions []Condition, book *Book, wanted func(thalweg.PipelineName) *Wanted, cluster []string) (u Update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.mu.since
	w.mu.since, w.mu.pending = make(map[string]time.Time), nil
	holds := make(map[string]bool)
	for _, c := range conditions {
		rule, known := RuleOf(c.Rule)
		if !known || holds[c.id()] {
			continue
		}
		var of *Wanted
		if c.Pipeline != "" {
			of = wanted(c.Pipeline)
			rule = of.Rule(rule)
		}
		if rule.Severity == None {
			continue
		}
		id := c.id()
		holds[id] = true
		since, ok := before[id]
		if !ok || since.After(now) { // or the clock was set back
			since = now
		}
		w.mu.since[id] = since
		switch fired := book.Fires(id); {
		case fired != nil:
		case now.Sub(since) < rule.For:
			w.mu.pending = append(w.mu.pending, Pending{c, rule.Severity, since, since.Add(rule.For)})
		case len(u.Raise) < maxChanges && len(book.Firing)+len(u.Raise) < MaxFiring:
			to := cluster
			if c.Pipeline != "" {
				to = of.To(rule.Severity)
			}
			u.Raise = append(u.Raise, Raise{ID: id, Rule: c.Rule, Severity: rule.Severity, Pipeline: c.Pipeline, Subject: c.Subject, Message: clip(c.Message),
				SinceMS: since.UnixMilli(), Webhooks: to})
		}
	}
	for _, r := range book.Firing {
		if !holds[r.ID] && len(u.Resolve) < maxChanges {
			u.Resolve = append(u.Resolve, Resolve{r.ID, r.Index})
		}
	}
	slices.SortFunc(u.Raise, func(a, b Raise) int { return cmp.Compare(a.ID, b.ID) })
	return u
}

// Pending returns the conditions that have not held for long enough.
func (w *Watch) Pending() []Pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.mu.pending)
}
