package event

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The named timestamp formats; every other one is a layout of Go's time package.
const (
	RFC3339     = "rfc3339"
	EpochMillis = "epoch_ms"
)

type timestampParser struct {
	zone    *time.Location
	epoch   bool // numbers are epoch_ms
	formats []timestampFormat
	named   []string
}

// timestampFormat is a form that table.ScanTime knows, or a layout.
type timestampFormat struct {
	form   table.TimeForm
	layout string
}

// newTimestampParser returns the parser of formats that checkTimestamps finds
// nothing wrong with.
func newTimestampParser(formats []string, zone *time.Location) *timestampParser {
	p := &timestampParser{zone: zone, named: formats}
	for _, f := range formats {
		form := table.TimeForm(slices.Index(table.TimeFormats(), f) + 1)
		switch {
		case f == EpochMillis:
			p.epoch = true
		case form != table.NoTime:
			p.formats = append(p.formats, timestampFormat{form: form})
		default:
			p.formats = append(p.formats, timestampFormat{layout: f})
		}
	}
	return p
}

// isLayout reports whether a layout tells days apart and reads what it writes.
func isLayout(layout string) bool {
	one := time.Date(2003, 4, 5, 0, 0, 0, 0, time.UTC)
	back, err := time.Parse(layout, one.Format(layout))
	return err == nil && back.Equal(one)
}

// checkTimestamps notes layouts that tell no date.
func checkTimestamps(at pipeline.Place, formats []string) {
	for i, f := range formats {
		if f != RFC3339 && f != EpochMillis && !isLayout(f) {
			at.Problem(fmt.Sprintf("timestamp_formats[%d]", i), `write rfc3339, epoch_ms, or a layout of Go's time package: "2006-01-02 15:04:05"`,
				"%q is not a layout with a date", f)
		}
	}
}

func (t *timestampParser) describe() string { return strings.Join(t.named, ", ") }

// parse returns the microseconds since 1970 UTC that s means in the first
// format that fits.
func (t *timestampParser) parse(s []byte) (us int64, ok bool) {
	text := unsafe.String(unsafe.SliceData(s), len(s)) // not kept
	us, shape := table.ScanTime(text, t.zone)
	for _, f := range t.formats {
		if f.form != table.NoTime {
			if f.form == shape {
				return us, true
			}
			continue
		}
		at, err := time.ParseInLocation(f.layout, text, t.zone)
		if err != nil {
			continue
		}
		if year := at.UTC().Year(); year >= 0 && year <= 9999 {
			return at.UnixMicro(), true
		}
	}
	return 0, false
}
