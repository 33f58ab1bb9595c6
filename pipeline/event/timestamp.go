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
	epoch bool // numbers are epoch_ms
	texts *table.TimeReader
	named []string
}

// newTimestampParser returns the parser of formats that checkTimestamps finds
// nothing wrong with.
func newTimestampParser(formats []string, zone *time.Location) *timestampParser {
	texts := slices.DeleteFunc(slices.Clone(formats), func(f string) bool { return f == EpochMillis })
	return &timestampParser{epoch: len(texts) < len(formats), texts: table.NewTimeReader(texts, zone), named: formats}
}

// checkTimestamps notes layouts that tell no date.
func checkTimestamps(at pipeline.Place, formats []string) {
	for i, f := range formats {
		if f != EpochMillis && !table.IsTimeFormat(f) {
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
	return t.texts.Read(text)
}
