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
		"2020-01-01T00:00:00  Z", "2020-01-01T00:00:00 ", "2020-01-01T00:00:00+1:00", "2020-01-01T00:00:00+24", "2020-01-01T00:00:00+05301",
		"2020-01-01T00:00:00+05-30", "2020-01-01x00:00:00", "2020-01-01x00:00:00Z", "2020-01-01T00:00:00.", " 2020-01-01", "20-01-01"} {
		if us, ok := table.ParseTime(text, time.UTC); ok {
			t.Errorf("%q is %d", text, us)
		}
	}
}

// Producers and databases write RFC 3339 in a few more ways, all of one meaning.
func TestParseTimeReadsTheWaysInWhichZonesAreWritten(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2020, 2, 29, 12, 30, 15, 250e6, time.UTC).UnixMicro()
	for _, text := range []string{"2020-02-29T12:30:15.25Z", "2020-02-29t12:30:15.25z", "2020-02-29 12:30:15.25Z", "2020-02-29T12:30:15.25 Z",
		"2020-02-29 12:30:15.25 z", "2020-02-29T18:00:15.25+05:30", "2020-02-29T18:00:15.25+0530", "2020-02-29 18:00:15.25 +0530",
		"2020-02-29T12:30:15.25+00", "2020-02-29 09:30:15.25-03", "2020-02-29t09:00:15.25-0330"} {
		if us, form := table.ScanTime(text, newYork); us != want || form != table.ZonedForm {
			t.Errorf("%q is %d in form %d, want %d in form %d", text, us, form, want, table.ZonedForm)
		}
	}
	if us, form := table.ScanTime("2020-02-29t12:30:15", time.UTC); form != table.TForm || us != time.Date(2020, 2, 29, 12, 30, 15, 0, time.UTC).UnixMicro() {
		t.Errorf("a small t: %d in form %d", us, form)
	}
}
