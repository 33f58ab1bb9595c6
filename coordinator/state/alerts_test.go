package state

import (
	"bytes"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/coordinator/alert"
)

// TestAlertsAreInSnapshots, byte for byte, and a damaged book is refused.
func TestAlertsAreInSnapshots(t *testing.T) {
	s := New()
	for i, u := range []alert.Update{
		{Raise: []alert.Raise{{ID: "b", Rule: alert.StreamLag, Severity: alert.Warning, Webhooks: []string{"ops"}}, {ID: "a", Rule: alert.NoWorker, Severity: alert.Error}}},
		{Told: []alert.Told{{ID: "b", Index: 1, Webhook: "ops", What: alert.Firing}}},
		{Resolve: []alert.Resolve{{ID: "a", Index: 1}}},
		{Resolve: []alert.Resolve{{ID: "b", Index: 9}}}, // lost a race
	} {
		entry, err := Encode(&UpdateAlerts{u}, "", int64(1000+i))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := s.Apply(uint64(i+1), entry); err != nil || a.Changed != (i < 3) {
			t.Fatalf("entry %d: %+v, %v", i+1, a, err)
		}
	}
	text := encoded(t, s)
	again, err := Decode(text)
	if err != nil || !bytes.Equal(encoded(t, again), text) || len(again.Alerts().Firing) != 1 || len(again.Alerts().Ended) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	for from, to := range map[string]string{`"severity":"warning"`: `"severity":"loud"`, `"index":1,"since`: `"index":99,"since`, `"told":"firing"`: `"told":"maybe"`, `"resolved_ms":1002`: `"resolved_ms":0`} {
		damaged := strings.Replace(string(text), from, to, 1)
		if damaged == string(text) {
			t.Fatalf("no %s in %s", from, text)
		}
		if _, err := Decode([]byte(damaged)); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", to, err)
		}
	}
}
