package table

import (
	"testing"
	"time"
)

// An abbreviation of a zone is known where the zone of the schema has it; of another the
// offset is not, and the text is no time.
func TestZonesByAbbreviationAreThoseOfTheSchemaOrUTC(t *testing.T) {
	pacific, err := time.LoadLocation("America/Los_Angeles")
	if err != nil {
		t.Fatal(err)
	}
	const layout = "2006-01-02 15:04 MST"
	for text, want := range map[string]int64{
		"1970-01-01 00:00 PST": 8, "1970-07-01 00:00 PDT": 181*24 + 7, "1970-01-01 00:00 UTC": 0, "1970-01-01 00:00 GMT": 0, "1970-01-01 00:00 CET": -1,
	} {
		us, ok := NewTimeReader([]string{layout}, pacific).Read(text)
		if ok != (want >= 0) || ok && us != want*3600e6 {
			t.Errorf("%s: %d µs, %v, want %d h", text, us, ok, want)
		}
	}
	if us, ok := NewTimeReader([]string{layout + " -0700"}, pacific).Read("1970-01-01 00:00 WET +0000"); !ok || us != 0 {
		t.Errorf("with digits: %d µs, %v", us, ok)
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	if us, ok := NewTimeReader([]string{layout}, london).Read("1990-01-01 00:00 GMT"); !ok || us != time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() {
		t.Errorf("%d µs, %v", us, ok)
	}
}
