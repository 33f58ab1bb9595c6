package scorer

import (
	"testing"
	"time"
)

func TestMergedPiecesHoldTheSameRows(t *testing.T) {
	w := newWorld(t, 1)
	w.promote(1)
	s := w.start(func(c *Config) {
		c.Batching = Limits{Count: 1, Period: time.Millisecond}
		c.Rolling.Period = time.Hour
		c.Rolling.Count = 1 << 20
	})
	w.produceGood(0, 700)
	s.wait("700 scored", func(s Status) bool { return s.Scored == 700 })
	s.stop()
	w.judge()
	rows, _ := w.read(0)
	for i := range int64(700) {
		if want := "A" + string(rune('0'+i%7)); rows[i].cells["origin"] != want {
			t.Fatalf("offset %d has origin %s, want %s", i, rows[i].cells["origin"], want)
		}
	}
}
