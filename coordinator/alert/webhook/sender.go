package webhook

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/retry"
)

// backoff spaces the tries of a webhook that does not answer: without end, since an alert that
// nobody was told of is none.
var backoff = retry.Backoff{Min: time.Second, Max: 5 * time.Minute}

// Metrics are a sender's.
type Metrics struct{ sent *prometheus.CounterVec }

// NewMetrics returns metrics that are registered.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "thalweg_alert_sends_total",
		Help: "Alerts that this node told to webhooks while it led, or tried to, by webhook and outcome."}, []string{"webhook", "outcome"})}
	r.MustRegister(m.sent)
	return m
}

// State is how a webhook does.
type State struct {
	Failures int    // in a row
	Error    string // of the last of them
	Next     time.Time
}

// Sender tells alerts to webhooks, one after the other each, all of them side by side. It is
// for one leadership.
type Sender struct {
	cluster  string
	metrics  *Metrics
	clients  map[string]*client
	told     func(alert.Told) error
	backoff  retry.Backoff
	inFlight sync.WaitGroup
	mu       struct {
		sync.Mutex
		states map[string]*State
		busy   map[string]bool
	}
}

// NewSender returns a sender to webhooks by name, which are valid. told notes what one was told, and is called
// before the next is sent to it.
func NewSender(cluster, version string, hooks map[string]Config, m *Metrics, told func(alert.Told) error) *Sender {
	s := &Sender{cluster: cluster, metrics: m, clients: make(map[string]*client), told: told, backoff: backoff}
	s.mu.states, s.mu.busy = make(map[string]*State), make(map[string]bool)
	for name, cfg := range hooks {
		s.clients[name] = newClient(name, version, cfg)
	}
	return s
}

// State returns how a webhook does; the zero State: well.
func (s *Sender) State(webhook string) (state State, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.mu.states[webhook]; of != nil {
		state = *of
	}
	return state, s.clients[webhook] != nil
}

// Due is an alert that a webhook is to be told of.
type Due struct {
	Record *alert.Record
	Status string
}

// DueOf lists what webhooks are to be told, the oldest first. The records are copies.
func DueOf(book *alert.Book) map[string][]Due {
	due := make(map[string][]Due)
	for _, r := range slices.Concat(book.Ended, book.Firing) {
		for _, to := range r.Sends {
			if status := r.Due(to.Webhook); status != "" {
				copied := *r
				copied.Sends = nil // they change as webhooks are told
				due[to.Webhook] = append(due[to.Webhook], Due{&copied, status})
			}
		}
	}
	for _, of := range due {
		slices.SortStableFunc(of, func(a, b Due) int { return int(a.Record.Index) - int(b.Record.Index) })
	}
	return due
}

// Send begins to tell what is due to the webhooks that are idle and may be tried again. It
// returns at once; ctx ends what is under way.
func (s *Sender) Send(ctx context.Context, due map[string][]Due) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, of := range due {
		c := s.clients[name]
		if c == nil || s.mu.busy[name] || len(of) == 0 {
			continue
		}
		if st := s.mu.states[name]; st != nil && time.Now().Before(st.Next) {
			continue
		}
		s.mu.busy[name] = true
		s.inFlight.Go(func() { s.sendAll(ctx, c, of) })
	}
}

// sendAll tells a webhook what is due until it does not answer.
func (s *Sender) sendAll(ctx context.Context, c *client, due []Due) {
	var failed error
	for _, d := range due {
		if ctx.Err() != nil {
			break
		}
		if failed = c.send(ctx, s.cluster, d.Status, d.Record); failed != nil {
			break
		}
		s.metrics.sent.WithLabelValues(c.name, "ok").Inc()
		if err := s.told(alert.Told{ID: d.Record.ID, Index: d.Record.Index, Webhook: c.name, What: d.Status}); err != nil {
			break // whoever leads then sends it again, under the same ID
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.busy, c.name)
	if failed == nil || ctx.Err() != nil {
		delete(s.mu.states, c.name)
		return
	}
	s.metrics.sent.WithLabelValues(c.name, "failed").Inc()
	st := s.mu.states[c.name]
	if st == nil {
		st = new(State)
		s.mu.states[c.name] = st
	}
	st.Failures++
	st.Error, st.Next = failed.Error(), time.Now().Add(s.backoff.Delay(st.Failures, nil))
}

// Close waits for what is under way, whose context has ended, and gives up connections.
func (s *Sender) Close() {
	s.inFlight.Wait()
	for _, c := range s.clients {
		c.close()
	}
}
