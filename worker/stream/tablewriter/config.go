package tablewriter

import (
	"cmp"
	"time"

	"github.com/thalweg/thalweg"
)

// Config says which table is kept, and how. The first block is required, the
// rest has defaults.
type Config struct {
	Pipeline thalweg.PipelineName // whose logs are followed
	Prefix   string               // of the sink in its bucket: empty, or ending in a slash

	// Poll is how often a replay log is polled for new slots, at most: the pause
	// doubles up to half of PollSlow while there are none. Default 2 s.
	Poll time.Duration
	// PollSlow is how often a main log is polled without a call of Finished;
	// default 1 min.
	PollSlow time.Duration
	// CheckpointEvery is how many versions come before a checkpoint, at least;
	// default 100.
	CheckpointEvery int64
	// Tombstones is how long a checkpoint remembers removed files; default 7 days.
	Tombstones time.Duration
	// MinBackoff and MaxBackoff bound the pause before something that failed is
	// tried again. Default 100 ms and 10 s.
	MinBackoff, MaxBackoff time.Duration
}

func (c Config) withDefaults() Config {
	c.Poll, c.PollSlow = cmp.Or(c.Poll, 2*time.Second), cmp.Or(c.PollSlow, time.Minute)
	c.CheckpointEvery, c.Tombstones = cmp.Or(c.CheckpointEvery, 100), cmp.Or(c.Tombstones, 7*24*time.Hour)
	c.MinBackoff, c.MaxBackoff = cmp.Or(c.MinBackoff, 100*time.Millisecond), cmp.Or(c.MaxBackoff, 10*time.Second)
	return c
}
