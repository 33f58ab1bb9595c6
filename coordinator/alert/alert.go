// Package alert says what somebody should be told: rules on what the leader knows, the alerts
// that fire, which are part of the replicated state, and to whom each was told. The book is
// pure, as the state is: no clock, no I/O.
package alert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
)

// Bounds of the book. What fires beyond MaxFiring is not noted until others are resolved; of
// those that were resolved the newest MaxResolved are kept.
const (
	MaxFiring   = 512
	MaxResolved = 256
	MaxWebhooks = 16  // that one alert is told to
	maxText     = 512 // bytes of one text
	maxChanges  = 256 // of a list of one update
)

// The severities, and that of a rule which never fires.
const (
	Error   = "error"   // something stands still or is lost
	Warning = "warning" // it will be
	None    = "none"
)

// What a webhook was told of an alert.
const (
	Firing   = "firing"
	Resolved = "resolved"
	// Nothing: it was resolved before it could be told.
	Nothing = "nothing"
)

// Record is an alert that fires, or did.
type Record struct {
	// ID names what it is about: at most one of an ID fires.
	ID       string               `json:"id"`
	Rule     string               `json:"rule"`
	Severity string               `json:"severity"`
	Pipeline thalweg.PipelineName `json:"pipeline,omitempty"` // empty: it concerns the cluster
	Subject  string               `json:"subject"`            // "stream flights", "node c2"
	Message  string               `json:"message"`            // what was the matter when it began to fire
	// Index is that of the entry by which it began to fire, and tells it from others of its ID.
	Index uint64 `json:"index"`
	// SinceMS is when its condition began, FiredMS when it began to fire, ResolvedMS when it
	// ended; 0: it fires. Milliseconds since 1970 UTC.
	SinceMS    int64  `json:"since_ms"`
	FiredMS    int64  `json:"fired_ms"`
	ResolvedMS int64  `json:"resolved_ms,omitempty"`
	Sends      []Send `json:"sends,omitempty"`
}

// Send is what a webhook was told of an alert; Told is empty while it was told nothing.
type Send struct {
	Webhook string `json:"webhook"`
	Told    string `json:"told,omitempty"`
}

// Due is what the webhook is to be told, "" if nothing is.
func (r *Record) Due(webhook string) string {
	for _, s := range r.Sends {
		switch {
		case s.Webhook != webhook:
		case r.ResolvedMS == 0 && s.Told == "":
			return Firing
		case r.ResolvedMS > 0 && s.Told == Firing:
			return Resolved
		}
	}
	return ""
}

// Book is the alerts of a cluster. It is not safe for concurrent use.
type Book struct {
	// Firing are in order of their IDs, Ended in that in which they were resolved.
	Firing []*Record `json:"firing,omitempty"`
	Ended  []*Record `json:"ended,omitempty"`
}

// Update is one change of the book, as the leader planned it. What lost a race changes
// nothing.
type Update struct {
	Raise   []Raise   `json:"raise,omitempty"`
	Resolve []Resolve `json:"resolve,omitempty"`
	Told    []Told    `json:"told,omitempty"`
}

// Empty reports whether there is nothing to change.
func (u *Update) Empty() bool { return len(u.Raise)+len(u.Resolve)+len(u.Told) == 0 }

// Raise has an alert fire, unless one of its ID does.
type Raise struct {
	ID       string               `json:"id"`
	Rule     string               `json:"rule"`
	Severity string               `json:"severity"`
	Pipeline thalweg.PipelineName `json:"pipeline,omitempty"`
	Subject  string               `json:"subject"`
	Message  string               `json:"message"`
	SinceMS  int64                `json:"since_ms"`
	Webhooks []string             `json:"webhooks,omitempty"`
}

// Resolve ends the alert of an ID that began to fire by an entry.
type Resolve struct {
	ID    string `json:"id"`
	Index uint64 `json:"index"`
}

// Told notes what a webhook was told of an alert.
type Told struct {
	ID      string `json:"id"`
	Index   uint64 `json:"index"`
	Webhook string `json:"webhook"`
	What    string `json:"what"`
}

// find returns the place of an ID among those that fire.
func (b *Book) find(id string) (at int, ok bool) {
	return slices.BinarySearchFunc(b.Firing, id, func(r *Record, id string) int { return cmp.Compare(r.ID, id) })
}

// Fires returns the alert of an ID that fires, nil if none does.
func (b *Book) Fires(id string) *Record {
	if at, ok := b.find(id); ok {
		return b.Firing[at]
	}
	return nil
}

// Apply carries an update out, and reports whether it changed anything.
func (b *Book) Apply(u *Update, index uint64, timeMS int64) (changed bool) {
	for _, r := range u.Resolve[:min(len(u.Resolve), maxChanges)] {
		changed = b.resolve(r, timeMS) || changed
	}
	for _, r := range u.Raise[:min(len(u.Raise), maxChanges)] {
		changed = b.raise(r, index, timeMS) || changed
	}
	for _, t := range u.Told[:min(len(u.Told), maxChanges)] {
		changed = b.told(t) || changed
	}
	return changed
}

func (b *Book) raise(r Raise, index uint64, timeMS int64) bool {
	at, there := b.find(r.ID)
	if there || len(b.Firing) >= MaxFiring || r.ID == "" || len(r.ID) > maxText || r.Severity != Error && r.Severity != Warning {
		return false
	}
	record := &Record{ID: r.ID, Rule: clip(r.Rule), Severity: r.Severity, Pipeline: r.Pipeline, Subject: clip(r.Subject), Message: clip(r.Message),
		Index: index, SinceMS: min(r.SinceMS, timeMS), FiredMS: timeMS}
	for _, name := range r.Webhooks[:min(len(r.Webhooks), MaxWebhooks)] {
		if len(name) <= maxText && !slices.ContainsFunc(record.Sends, func(s Send) bool { return s.Webhook == name }) {
			record.Sends = append(record.Sends, Send{Webhook: name})
		}
	}
	b.Firing = slices.Insert(b.Firing, at, record)
	return true
}

func (b *Book) resolve(r Resolve, timeMS int64) bool {
	at, ok := b.find(r.ID)
	if !ok || b.Firing[at].Index != r.Index {
		return false
	}
	record := b.Firing[at]
	b.Firing = slices.Delete(b.Firing, at, at+1)
	record.ResolvedMS = max(timeMS, 1)
	for i := range record.Sends {
		if record.Sends[i].Told == "" {
			record.Sends[i].Told = Nothing
		}
	}
	b.Ended = append(b.Ended, record)
	b.Ended = slices.Clone(b.Ended[max(0, len(b.Ended)-MaxResolved):])
	return true
}

// told notes what was told, unless something later was.
func (b *Book) told(t Told) bool {
	for _, list := range [][]*Record{b.Firing, b.Ended} {
		for _, r := range list {
			if r.ID != t.ID || r.Index != t.Index {
				continue
			}
			for i := range r.Sends {
				s := &r.Sends[i]
				// It was told that it fires while it was resolved: that is still to be told.
				late := r.ResolvedMS > 0 && s.Told == Nothing && t.What == Firing
				if s.Webhook == t.Webhook && (r.Due(t.Webhook) == t.What || late) {
					s.Told = t.What
					return true
				}
			}
		}
	}
	return false
}

// Check says what is wrong with a book that was read, nil if nothing is.
func (b *Book) Check() error {
	if len(b.Firing) > MaxFiring || len(b.Ended) > MaxResolved {
		return fmt.Errorf("%d alerts that fire and %d that did, of at most %d and %d", len(b.Firing), len(b.Ended), MaxFiring, MaxResolved)
	}
	before := ""
	for i, r := range slices.Concat(b.Firing, b.Ended) {
		switch fires := i < len(b.Firing); {
		case r == nil:
			return fmt.Errorf("alert %d is missing", i)
		case r.ID == "" || len(r.ID) > maxText || fires && r.ID <= before:
			return fmt.Errorf("alert %.40q stands behind %.40q", r.ID, before)
		case r.Severity != Error && r.Severity != Warning || len(r.Sends) > MaxWebhooks || len(r.Rule)+len(r.Subject)+len(r.Message) > 3*maxText:
			return fmt.Errorf("alert %.40q has severity %.20q, %d webhooks", r.ID, r.Severity, len(r.Sends))
		case fires != (r.ResolvedMS == 0) || r.FiredMS < 0 || r.ResolvedMS < 0:
			return fmt.Errorf("alert %.40q fired at %d and was resolved at %d", r.ID, r.FiredMS, r.ResolvedMS)
		default:
			before = r.ID
		}
		for _, s := range r.Sends {
			if !slices.Contains([]string{"", Firing, Resolved, Nothing}, s.Told) || s.Webhook == "" || len(s.Webhook) > maxText {
				return fmt.Errorf("alert %.40q told %.40q %.20q", r.ID, s.Webhook, s.Told)
			}
		}
	}
	return nil
}

// clip cuts a text to maxText, at a rune boundary.
func clip(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxText)], "") }
