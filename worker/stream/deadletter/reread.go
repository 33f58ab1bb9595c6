package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Bounds of reading a topic again: letters may lie far apart, so that most of what a
// fetch brings is not looked at.
const (
	rereadBytes = 1 << 20
	rereadWait  = time.Second
	rereadTries = 10
)

// The reasons why a topic does not have an event any more.
const (
	Retention  = "retention"  // it was before the first offset that is kept
	Compaction = "compaction" // the offsets around it are there
	// Recreation: the topic was made anew since the claim, and its offsets are those of
	// other events. What nobody has claimed is not lost so but refused.
	Recreation = "recreation"
)

// errRecreated says that a letter is of a topic that is gone.
var errRecreated = errors.New("the topic was deleted and made anew")

// Loss is selected dead letters without their events, which the topic does not have any
// more either: no other that was selected lies between.
type Loss struct {
	Partition int    `json:"partition"`
	From      int64  `json:"from"` // the first's offset
	To        int64  `json:"to"`   // one past the last's
	Events    int64  `json:"events"`
	Why       string `json:"why"` // Retention, Compaction or Recreation
}

// losses are ranges of letters, in order.
type losses []Loss

// add adds a letter. adjacent: none that is not lost lies between it and the last.
func (l *losses) add(partition int, offset int64, why string, adjacent bool) {
	if n := len(*l); n > 0 && adjacent && (*l)[n-1].Why == why {
		(*l)[n-1].To, (*l)[n-1].Events = offset+1, (*l)[n-1].Events+1
		return
	}
	*l = append(*l, Loss{Partition: partition, From: offset, To: offset + 1, Events: 1, Why: why})
}

// rereader reads the events of dead letters that have none from their topic.
type rereader struct {
	source connectors.Source
	topic  string
	buf    connectors.Records
}

// each calls there with each letter's record, an index of records that are valid until
// it returns, or lost with why the topic does not have it any more. The letters are of
// one partition and topic, in the order of their offsets. A topic that was made anew
// since is refused: its offsets are those of other events.
func (r *rereader) each(ctx context.Context, partition int, topicID string, want connectors.Fields, letters []engine.DeadLetter,
	there func(l *engine.DeadLetter, from *connectors.Records, i int), lost func(l *engine.DeadLetter, why string)) error {
	if len(letters) == 0 {
		return nil
	}
	first, next, err := r.source.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	r.buf.Reset()
	r.buf.Want, r.buf.TopicID = want, topicID
	begin := int64(-1) // where what was fetched begins; it ends at r.buf.Next
	for i := range letters {
		l := &letters[i]
		if l.Offset >= next {
			return r.anew(l, fmt.Errorf("the partition ends at %d", next))
		}
		for tries := 0; l.Offset >= first && (begin < 0 || l.Offset >= r.buf.Next); tries++ {
			err := r.source.Fetch(ctx, partition, l.Offset, rereadWait, rereadBytes, &r.buf)
			if gone := new(connectors.MissingRange); thalweg.Is(err, thalweg.Lost) && errors.As(err, &gone) {
				if gone.Was != gone.Is {
					return r.anew(l, gone)
				}
				first = max(gone.To, l.Offset+1)
				break
			}
			if err != nil {
				return err
			}
			if begin = l.Offset; r.buf.Next <= l.Offset {
				begin = -1
				if tries == rereadTries {
					return &thalweg.Error{Op: "read dead letters again", Kind: thalweg.Unavailable, Subject: r.at(l),
						Err: errors.New("the topic gives no events"), Hint: "a transaction may be open; run it again when it has ended"}
				}
			}
		}
		if l.Offset < first {
			lost(l, Retention)
			continue
		}
		at, ok := slices.BinarySearch(r.buf.Offsets, l.Offset)
		switch {
		case !ok:
			lost(l, Compaction)
		case r.buf.Timestamps[at] != l.TimestampUS || r.buf.Unreadable[at] == "" && len(r.buf.Value(at)) != l.SizeBytes:
			return r.anew(l, errors.New("another event has its offset"))
		default:
			there(l, &r.buf, at)
		}
	}
	return nil
}

func (r *rereader) at(l *engine.DeadLetter) string {
	return fmt.Sprintf("%s/%d/%d", r.topic, l.Partition, l.Offset)
}

// anew says that a letter is of a topic that is gone.
func (r *rereader) anew(l *engine.DeadLetter, why error) error {
	return &thalweg.Error{Op: "read dead letters again", Kind: thalweg.Lost, Subject: r.at(l), Err: fmt.Errorf("%w: %w", errRecreated, why),
		Hint: "events of dead letters from before are gone with it; select later ones: --where \"timestamp >= …\""}
}
