package crontab_test

import (
	"testing"
	"time"

	"github.com/thalweg/thalweg/pipeline/crontab"
)

// A time comes once a day, whatever clocks do: one that they leave out
// comes later, one that they show twice comes once.
func TestTimesComeOnceADay(t *testing.T) {
	const zone = "Europe/Berlin"
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, test := range []struct{ cron, after, want string }{
		{"30 2 * * *", "2026-03-28T03:00:00+01:00", "2026-03-29T03:30:00+02:00"},
		{"30 2 * * *", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"},
		{"30 2 * * *", "2026-03-29T03:10:00+02:00", "2026-03-29T03:30:00+02:00"},
		{"0,30 2 * * *", "2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"0,30 2 * * *", "2026-03-29T03:00:05+02:00", "2026-03-29T03:30:00+02:00"},
		{"0 3 * * *", "2026-03-29T03:10:00+02:00", "2026-03-30T03:00:00+02:00"},
		{"30 2 * * *", "2026-10-24T03:00:00+02:00", "2026-10-25T02:30:00+02:00"},
		{"30 2 * * *", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		{"30 2 * * *", "2026-10-25T02:45:00+02:00", "2026-10-26T02:30:00+01:00"},
		{"*/30 * * * *", "2026-10-25T02:40:00+01:00", "2026-10-25T03:00:00+01:00"},
		{"*/30 * * * *", "2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00"},
		{"0 2 * * MON-FRI", "2026-11-27T02:00:00+01:00", "2026-11-30T02:00:00+01:00"},
		{"@monthly", "2026-11-27T02:00:00+01:00", "2026-12-01T00:00:00+01:00"},
		{"0 0 29 2 *", "2026-11-27T02:00:00+01:00", "2028-02-29T00:00:00+01:00"},
	} {
		s, err := crontab.Parse(test.cron, zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Next(at(test.after)); !got.Equal(at(test.want)) {
			t.Errorf("%s after %s: %v, want %s", test.cron, test.after, got, test.want)
		}
	}
	// Each time is after the one before, through a year of every minute.
	s, err := crontab.Parse("17,47 * * * *", zone)
	if err != nil {
		t.Fatal(err)
	}
	last := at("2026-01-01T00:00:00+01:00")
	for last.Year() == 2026 {
		next := s.Next(last)
		if gap := next.Sub(last); gap <= 0 || gap > 90*time.Minute {
			t.Fatalf("after %v comes %v", last, next)
		}
		last = next
	}
}
