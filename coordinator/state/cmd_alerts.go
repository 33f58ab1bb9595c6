package state

import (
	"fmt"
	"slices"

	"github.com/thalweg/thalweg/coordinator/alert"
)

// UpdateAlerts notes which alerts fire, which are resolved, and what webhooks were told.
type UpdateAlerts struct{ alert.Update }

func (*UpdateAlerts) name() string { return "update alerts" }

func (c *UpdateAlerts) apply(s *State) Answer {
	return Answer{Changed: s.alerts.Apply(&c.Update, s.index, s.timeMS)}
}

// Alerts returns the alerts that fire, and those that did. The caller must not change them.
func (s *State) Alerts() *alert.Book { return &s.alerts }

// restoreAlerts checks the alerts of a snapshot.
func (s *State) restoreAlerts(b alert.Book) error {
	if err := b.Check(); err != nil {
		return damaged("alerts", err)
	}
	for _, r := range slices.Concat(b.Firing, b.Ended) {
		if r.Index > s.index {
			return damaged("alerts", fmt.Errorf("alert %.40q fires since entry %d", r.ID, r.Index))
		}
	}
	s.alerts = b
	return nil
}

// maxAlertRules bounds what a spec says of rules.
const maxAlertRules = 64

// alertsFlaw says what is wrong with what a spec wants, "" if nothing is.
func alertsFlaw(w *alert.Wanted) string {
	if w == nil {
		return ""
	}
	if len(w.Webhooks) > alert.MaxWebhooks || len(w.Rules) > maxAlertRules {
		return fmt.Sprintf("alerts: %d webhooks and %d rules, of at most %d and %d", len(w.Webhooks), len(w.Rules), alert.MaxWebhooks, maxAlertRules)
	}
	for _, h := range w.Webhooks {
		if h.Name == "" || len(h.Name) > MaxHashBytes {
			return fmt.Sprintf("alerts: a webhook with a name of %d bytes", len(h.Name))
		}
	}
	return ""
}
