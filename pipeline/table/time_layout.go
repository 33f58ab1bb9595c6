package table

import (
	"slices"
	"strings"
	"time"
)

// TimeReader reads times in formats that a spec declares: those of TimeFormats by
// their names, and layouts of Go's time package.
type TimeReader struct {
	zone    *time.Location
	formats []timeFormat
}

// timeFormat is a form that ScanTime knows, or a layout.
type timeFormat struct {
	form   TimeForm
	layout string
}

// NewTimeReader returns the reader of formats that IsTimeFormat takes; zone is that
// of those without one.
func NewTimeReader(formats []string, zone *time.Location) *TimeReader {
	r := &TimeReader{zone: zone}
	for _, f := range formats {
		if form := TimeForm(slices.Index(TimeFormats(), f) + 1); form != NoTime {
			r.formats = append(r.formats, timeFormat{form: form})
		} else {
			r.formats = append(r.formats, timeFormat{layout: f})
		}
	}
	return r
}

// IsTimeFormat reports whether a format is a name or a layout that tells days apart
// and reads what it writes.
func IsTimeFormat(format string) bool {
	one := time.Date(2003, 4, 5, 0, 0, 0, 0, time.UTC)
	back, err := time.Parse(format, one.Format(format))
	return slices.Contains(TimeFormats(), format) || err == nil && back.Equal(one)
}

// Read returns the microseconds since 1970 UTC that a text means in the first format
// that fits.
func (r *TimeReader) Read(s string) (us int64, ok bool) {
	us, shape := ScanTime(s, r.zone)
	for _, f := range r.formats {
		if f.form != NoTime {
			if f.form == shape {
				return us, true
			}
			continue
		}
		at, err := time.ParseInLocation(f.layout, s, r.zone)
		if err != nil || !knownZone(at, f.layout, r.zone) {
			continue
		}
		if year := at.UTC().Year(); year >= 0 && year <= 9999 {
			return at.UnixMicro(), true
		}
	}
	return 0, false
}

// knownZone reports whether a time's offset is what its text says. Of an abbreviation
// that neither zone nor UTC has, time.ParseInLocation takes 0 for the offset: PST.
func knownZone(at time.Time, layout string, zone *time.Location) bool {
	name, offset := at.Zone()
	inDigits := strings.Contains(layout, "-07") || strings.Contains(layout, "Z07")
	return inDigits || offset != 0 || name == "" || name == "UTC" || name == "GMT" || at.Location() == zone
}
