package table_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/pipeline/table"
)

// Each form means what the standard library's layout of it means, in any zone.
func TestParseTimeReadsEachFormAsTheStandardLibraryDoes(t *testing.T) {
	layouts := append([]string{time.RFC3339Nano}, table.TimeFormats()[1:]...)
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]*time.Location{time.UTC, newYork}).Draw(t, "zone")
		at := time.Unix(rapid.Int64Range(-60e9, 250e9).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(zone)
		form := rapid.IntRange(0, len(layouts)-1).Draw(t, "form")
		text := at.Format(layouts[form])
		want, err := time.ParseInLocation(layouts[form], text, zone)
		if err != nil {
			t.Fatal(err)
		}
		us, found := table.ScanTime(text, zone)
		if us != want.UnixMicro() || found != table.TimeForm(form+1) {
			t.Fatalf("%q is %d in form %d, want %d in form %d", text, us, found, want.UnixMicro(), form+1)
		}
	})
}

func TestParseTimeRefusesWhatIsNoTime(t *testing.T) {
	for _, text := range []string{"", "2020", "2020-13-01", "2020-02-30", "2020-01-01T00:00", "2020-01-01 24:00", "2020-01-01 00:00:60",
		"2020-01-01 00:00:00Z", "2020-01-01T00:00:00z", "2020-01-01T00:00:00+1:00", "2020-01-01T00:00:00.", " 2020-01-01", "20-01-01"} {
		if us, ok := table.ParseTime(text, time.UTC); ok {
			t.Errorf("%q is %d", text, us)
		}
	}
}
