package monitor

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// A sketch is bounded whatever times and reasons events have, and loses no row or dead letter.
func TestASketchIsBounded(t *testing.T) {
	t.Parallel()
	cfg := &Config{Window: time.Hour, OneIn: 1}
	const features, many = 100, 3000
	var s Sketch
	for i := range int64(many) {
		at := i * 7919 % many * cfg.Window.Microseconds()
		w := s.at(cfg.key(at, 1))
		w.Rows++
		for f := range features {
			w.feature(fmt.Sprint("f", f)).Counts.Add(10, int(i%10), 1)
		}
		cfg.Die(&s, 1, at, fmt.Sprint("reason ", i%100))
	}
	data, err := json.Marshal(&s)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 8<<20 || s.SizeBytes() < 1<<24 || s.SizeBytes() > 1<<25 {
		t.Errorf("%d bytes as JSON, %d in memory", len(data), s.SizeBytes())
	}
	var again Sketch
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if again.SizeBytes() != s.SizeBytes() {
		t.Errorf("%d bytes again, not %d", again.SizeBytes(), s.SizeBytes())
	}
	var rows, dead int64
	for _, w := range again.Windows() {
		rows += w.Rows
		for _, n := range w.Dead {
			dead += n
		}
	}
	if rows != many || dead != many || again.Windows()[len(again.windows)-1].Rows < many/2 {
		t.Errorf("%d rows and %d dead letters", rows, dead)
	}
	// Many add up where there is more room.
	sum := NewSum()
	for range 3 {
		if err := sum.Merge(&s); err != nil {
			t.Fatal(err)
		}
	}
	if len(sum.windows) != len(s.windows) {
		t.Errorf("%d windows of %d", len(sum.windows), len(s.windows))
	}
}
