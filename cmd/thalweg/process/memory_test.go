package process

import (
	"math"
	"runtime/debug"
	"strings"
	"testing"
)

// A worker keeps no more training rows than its memory has room for beside all else, refuses
// by name what was asked for and does not fit, and goes by the smaller of what it may use and
// the runtime's limit.
func TestTrainingRowsFitIntoTheMemory(t *testing.T) {
	const gib, streams = 1 << 30, 32 << 20
	const besides = streams + RuntimeBytes + trainingBytes
	for _, c := range []struct {
		wanted, memory, limit int64
		asked                 bool
		want                  int64
		problem               string
	}{
		{gib, 0, math.MaxInt64, true, gib, ""},
		{gib, 8 * gib, math.MaxInt64, false, gib, ""},
		{gib, gib + besides, math.MaxInt64, true, gib, ""},
		{gib, gib, math.MaxInt64, false, gib - besides, ""},
		{gib, gib, math.MaxInt64, true, 0, "--cache-bytes"},
		{gib, 8 * gib, gib, true, 0, "1.0 GiB of memory"},
		{gib, 8 * gib, gib, false, gib - besides, ""},
		{gib, 0, gib, false, gib - besides, ""},
		{gib, besides, math.MaxInt64, false, 0, "--stream-bytes"},
	} {
		usual := debug.SetMemoryLimit(c.limit)
		got, err := CacheBytes(c.wanted, c.asked, streams, c.memory)
		debug.SetMemoryLimit(usual)
		if got != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}
