package replay

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

// The named bounds of a replay.
const (
	Earliest  = "earliest"  // the first offset that the topic still has
	Latest    = "latest"    // the next to be produced
	Committed = "committed" // where the live log begins, or what it has reached
)

// Bound is one end of what is replayed, as a user says it: a name, a time, an
// offset of every partition, or one for each partition that is named.
type Bound struct {
	text    string
	name    string
	at      time.Time
	offset  int64
	offsets map[int]int64
}

// ParseBound reads "earliest", "latest", "committed", a time of a form that data
// may have, without a zone in UTC, an offset, or a list of partition:offset. flag names it in errors.
func ParseBound(flag, text string) (Bound, error) {
	b := Bound{text: text, offset: -1}
	switch text {
	case Earliest, Latest, Committed:
		b.name = text
		return b, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		b.offset = n
		return b, nil
	}
	if us, ok := table.ParseTime(text, time.UTC); ok {
		b.at = time.UnixMicro(us).UTC()
		return b, nil
	}
	b.offsets = make(map[int]int64)
	for pair := range strings.SplitSeq(text, ",") {
		p, offset, ok := strings.Cut(strings.TrimSpace(pair), ":")
		partition, err := strconv.Atoi(p)
		n, wrong := strconv.ParseInt(offset, 10, 64)
		_, twice := b.offsets[partition]
		if !ok || err != nil || wrong != nil || partition < 0 || n < 0 || twice {
			return Bound{}, &thalweg.Error{Op: flag, Kind: thalweg.Invalid, Subject: strconv.Quote(text),
				Hint: "want earliest, latest, committed, an offset, a time like 2026-11-26T10:00:00Z, or partition:offset,…"}
		}
		b.offsets[partition] = n
	}
	return b, nil
}

// String returns the bound as it was given.
func (b Bound) String() string { return b.text }

// chosen returns the partitions that from and to name out of n, all of them if
// they name none.
func chosen(from, to Bound, n int) ([]int, error) {
	var named []int
	for _, b := range []Bound{from, to} {
		if b.offsets == nil {
			continue
		}
		here := slices.Sorted(maps.Keys(b.offsets))
		if named != nil && !slices.Equal(named, here) {
			return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Invalid, Subject: fmt.Sprintf("from %s to %s", from, to),
				Hint: "name the same partitions in both"}
		}
		named = here
	}
	if named == nil {
		for p := range n {
			named = append(named, p)
		}
	}
	if last := named[len(named)-1]; last >= n {
		return nil, &thalweg.Error{Op: "replay", Kind: thalweg.NotFound, Subject: fmt.Sprintf("partition %d", last),
			Hint: fmt.Sprintf("the topic has %d, from 0", n)}
	}
	return named, nil
}
