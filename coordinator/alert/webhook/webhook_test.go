package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
	"github.com/thalweg/thalweg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

// receiver is a webhook that keeps what it gets, and refuses as often as it is told.
type receiver struct {
	*httptest.Server
	mu struct {
		sync.Mutex
		refuse int
		got    []Message
		ids    []string
		tries  int
		bad    []string
	}
}

func newReceiver(t *testing.T, refuse int) *receiver {
	r := new(receiver)
	r.mu.refuse = refuse
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.tries++; r.mu.refuse > 0 {
		r.mu.refuse--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	// Verified as the specification says, by none of the code that signs.
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(req.Header.Get("webhook-id") + "." + req.Header.Get("webhook-timestamp") + "." + string(body)))
	var m Message
	switch {
	case err != nil || json.Unmarshal(body, &m) != nil || len(m.Alerts) != 1:
		r.mu.bad = append(r.mu.bad, string(body))
	case req.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)):
		r.mu.bad = append(r.mu.bad, "signature "+req.Header.Get("webhook-signature"))
	case req.Method != http.MethodPost || req.Header.Get("Authorization") != "Bearer t":
		r.mu.bad = append(r.mu.bad, "headers")
	}
	r.mu.got, r.mu.ids = append(r.mu.got, m), append(r.mu.ids, req.Header.Get("webhook-id"))
}

func (r *receiver) config() Config {
	return Config{URL: r.URL + "/hook", Secret: func() string { return secret }, Headers: func() map[string]string { return map[string]string{"Authorization": "Bearer t"} }}
}

// desk is a book and a sender that notes in it.
type desk struct {
	sync.Mutex
	book alert.Book
	*Sender
}

func newDesk(t *testing.T, hooks map[string]Config) *desk {
	d := new(desk)
	d.Sender = NewSender("prod", "v1", hooks, NewMetrics(prometheus.NewRegistry()), func(told alert.Told) error {
		d.Lock()
		defer d.Unlock()
		d.book.Apply(&alert.Update{Told: []alert.Told{told}}, 9, 9)
		return nil
	})
	d.backoff = retry.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}
	t.Cleanup(d.Close)
	return d
}

// until sends until nothing is due to anybody who answers.
func (d *desk) until(ctx context.Context, done func(due map[string][]Due) bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		d.Lock()
		due := DueOf(&d.book)
		d.Unlock()
		if done(due) {
			return
		}
		d.Send(ctx, due)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func raise(ids ...string) *alert.Update {
	u := new(alert.Update)
	for _, id := range ids {
		u.Raise = append(u.Raise, alert.Raise{ID: id, Rule: alert.StreamLag, Severity: alert.Warning, Pipeline: "flights", Subject: "stream flights", Message: "is behind", Webhooks: []string{"ops", "other"}})
	}
	return u
}

// TestAWebhookGetsEachAlertOnce, signed, in their order, and after it has failed for a while;
// another one that never answers keeps nobody waiting.
func TestAWebhookGetsEachAlertOnce(t *testing.T) {
	t.Parallel()
	ops, other := newReceiver(t, 3), newReceiver(t, 1_000_000)
	d := newDesk(t, map[string]Config{"ops": ops.config(), "other": other.config()})
	d.book.Apply(raise("a", "b"), 3, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := func(due map[string][]Due) bool { return len(due["ops"]) == 0 }
	d.until(ctx, told)
	d.Lock()
	index := d.book.Fires("a").Index
	d.book.Apply(&alert.Update{Resolve: []alert.Resolve{{ID: "a", Index: index}}}, 4, 2000)
	d.Unlock()
	d.until(ctx, told)
	ops.mu.Lock()
	defer ops.mu.Unlock()
	if len(ops.mu.bad) > 0 {
		t.Errorf("bad requests: %q", ops.mu.bad)
	}
	var got []string
	for _, m := range ops.mu.got {
		got = append(got, m.GroupKey+" "+m.Status)
	}
	if want := []string{"a firing", "b firing", "a resolved"}; !slices.Equal(got, want) || ops.mu.tries != 6 {
		t.Errorf("got %q by %d requests, want %q", got, ops.mu.tries, want)
	}
	if last := ops.mu.got[2].Alerts[0]; !last.EndsAt.Equal(time.UnixMilli(2000)) || last.Labels["alertname"] != alert.StreamLag || last.Labels["pipeline"] != "flights" ||
		last.Labels["cluster"] != "prod" || last.Annotations["action"] == "" || last.Fingerprint != ops.mu.got[0].Alerts[0].Fingerprint {
		t.Errorf("%+v", last)
	}
	if !ops.mu.got[0].Alerts[0].EndsAt.IsZero() || ops.mu.ids[0] == ops.mu.ids[2] || ops.mu.ids[0] == ops.mu.ids[1] {
		t.Errorf("ids %q", ops.mu.ids)
	}
	d.until(ctx, func(map[string][]Due) bool {
		st, _ := d.State("other")
		return st.Failures > 0 && strings.Contains(st.Error, "500")
	})
	if st, known := d.State("ops"); st.Failures != 0 || !known {
		t.Errorf("%+v", st)
	}
	cancel()
}

// TestARepetitionHasTheSameID, so that who gets an alert twice can tell.
func TestARepetitionHasTheSameID(t *testing.T) {
	t.Parallel()
	r := &alert.Record{ID: "a", Index: 3}
	again, other := *r, &alert.Record{ID: "a", Index: 4}
	if IDOf("c", alert.Firing, r) != IDOf("c", alert.Firing, &again) || IDOf("c", alert.Firing, r) == IDOf("c", alert.Resolved, r) || IDOf("c", alert.Firing, r) == IDOf("c", alert.Firing, other) {
		t.Error("ids do not follow from what is told")
	}
}

// TestWebhooksThatLeadNowhereGoodAreRefused before anything is sent, and redirects are not
// followed.
func TestWebhooksThatLeadNowhereGoodAreRefused(t *testing.T) {
	t.Parallel()
	for address, kind := range map[string]thalweg.Kind{
		"http://169.254.169.254/latest": thalweg.Forbidden, "https://[fe80::1]/x": thalweg.Forbidden, "http://[fd00:ec2::254]/": thalweg.Forbidden,
		"http://0.0.0.0:80/": thalweg.Forbidden, "ftp://h/": thalweg.Invalid, "http://u:p@h/": thalweg.Invalid, "h": thalweg.Invalid, "http://h/#x": thalweg.Invalid,
	} {
		if err := (Config{URL: address}).Validate(); !thalweg.Is(err, kind) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, short := range []string{"short", "whsec_AAAA", "whsec_%%%%%%%%%%%%%%%%%%%%%%%%"} {
		if err := (Config{URL: "https://h/", Secret: func() string { return short }}).Validate(); !thalweg.Is(err, thalweg.Invalid) || strings.Contains(err.Error(), short) {
			t.Errorf("secret %q: %v", short, err)
		}
	}
	sink := newReceiver(t, 0)
	moved := httptest.NewServer(http.RedirectHandler(sink.URL, http.StatusTemporaryRedirect))
	defer moved.Close()
	for name, cfg := range map[string]Config{"redirects": {URL: moved.URL + "/token-in-the-path"}, "a name that leads there": {URL: "http://hooks.example/"}} {
		if name == "a name that leads there" {
			cfg.URL = "http://169.254.169.254/token-in-the-path" // as if the name led there
		}
		c := newClient("ops", "", cfg)
		err := c.send(t.Context(), "", alert.Firing, &alert.Record{ID: "a", Rule: alert.StreamLag})
		c.close()
		if !thalweg.Is(err, thalweg.Unavailable) || strings.Contains(err.Error(), "token-in-the-path") {
			t.Errorf("%s: %v", name, err)
		}
	}
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if sink.mu.tries != 0 {
		t.Error("a redirect was followed")
	}
}
