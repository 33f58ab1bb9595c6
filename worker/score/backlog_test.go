package score

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/connectors"
)

// TestBatchesKeepKeysAndHeadersWithTheirValues cuts what fetches of all sizes
// gave into batches of all sizes.
func TestBatchesKeepKeysAndHeadersWithTheirValues(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		b := backlog{want: connectors.Keys | connectors.Headers}
		next, total := int64(0), 0
		for range 1 + rng.IntN(6) {
			r := b.buffer()
			r.Reset()
			for range rng.IntN(5) {
				next += 1 + rng.Int64N(2)
				value := fmt.Appendf(nil, "%d%s", next, strings.Repeat(" ", rng.IntN(2)*smallPart))
				if rng.IntN(8) == 0 {
					value = nil
				}
				key := fmt.Appendf(nil, "k%d", next)
				if next%3 == 0 {
					key = nil
				}
				r.AppendHeader("at", fmt.Append(nil, next))
				r.Append(next, next*10, key, value)
				total++
			}
			next++
			r.Next = next
			b.add(r)
		}
		from, seen := int64(0), 0
		for b.records() > 0 {
			got := b.take(score{from: from, count: 1 + rng.IntN(7), bytes: 1 << 30, gaps: 1 << 20, upTo: -1})
			for i, at := range got.offsets {
				value := strings.TrimSpace(string(got.values[start(got.ends, i):got.ends[i]]))
				null := got.nulls != nil && got.nulls[i]
				header, _ := got.header(i, "at")
				if !null && value != fmt.Sprint(at) || null && value != "" || string(header) != fmt.Sprint(at) ||
					(got.key(i) == nil) != (at%3 == 0) || got.key(i) != nil && string(got.key(i)) != fmt.Sprintf("k%d", at) || got.timestamps[i] != at*10 {
					t.Fatalf("seed %d: offset %d has value %.10q, key %q, header %q, time %d", seed, at, value, got.key(i), header, got.timestamps[i])
				}
			}
			seen, from = seen+len(got.offsets), got.to
			b.drop(len(got.offsets))
		}
		if seen != total || from != next && total > 0 {
			t.Fatalf("seed %d: %d records of %d, up to %d of %d", seed, seen, total, from, next)
		}
	}
}

func start(ends []int, i int) int {
	if i == 0 {
		return 0
	}
	return ends[i-1]
}
