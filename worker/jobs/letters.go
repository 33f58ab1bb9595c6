package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/worker/stream/deadletter"
)

// Letters asks for dead letters of a pipeline: to be counted, or to be shown, each as a line
// of JSON.
type Letters struct {
	Where string `json:"where,omitempty"` // an expression that is true for them
	All   bool   `json:"all,omitempty"`   // also those that a replay has scored
	Limit int    `json:"limit,omitempty"` // of reasons, or of letters; 0: all
}

// Selection compiles Where.
func (p Letters) Selection() (*deadletter.Selection, error) {
	s, err := deadletter.NewSelection(p.Where)
	if err != nil {
		return nil, &thalweg.Error{Op: "--where", Kind: thalweg.Invalid, Err: err, Hint: "`thalweg dlq --help` has the fields"}
	}
	return s, nil
}

// letters yields the dead letters that are asked for, partition by partition, oldest first.
func (j *Job) letters(ctx context.Context, p Letters) iter.Seq2[*deadletter.Letter, error] {
	return func(yield func(*deadletter.Letter, error) bool) {
		selection, err := p.Selection()
		if err != nil {
			yield(nil, err)
			return
		}
		s, err := j.OpenStream(ctx, j.Pipeline)
		if err != nil {
			yield(nil, err)
			return
		}
		partitions, err := s.Partitions(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for part := range partitions {
			j.Progress(int64(part), int64(partitions), "partitions")
			for l, err := range deadletter.List(ctx, s.Live.Bucket, s.Log(part, false), selection) {
				if err == nil && l.Replayed != nil && !p.All {
					continue
				}
				if !yield(l, err) || err != nil {
					return
				}
			}
		}
	}
}

func runShowLetters(ctx context.Context, j *Job, p Letters) error {
	lines := json.NewEncoder(j)
	lines.SetEscapeHTML(false)
	n := 0
	for l, err := range j.letters(ctx, p) {
		if err != nil {
			return err
		}
		if p.Limit > 0 && n == p.Limit {
			break
		}
		n++
		if err := lines.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

func runListLetters(ctx context.Context, j *Job, p Letters) error {
	counts := newLetterCounts(j.Pipeline)
	for l, err := range j.letters(ctx, p) {
		if err != nil {
			return err
		}
		counts.add(l)
	}
	counts.finish(p.Limit)
	return j.Reply(counts)
}

// maxReasons bounds the reasons that are counted apart: those of one stream are
// few once numbers are left out, but for events that are noise.
const maxReasons = 10_000

// LetterTally counts dead letters.
type LetterTally struct {
	Events   int64 `json:"events"`
	Again    int64 `json:"replayed_in_vain"` // of them, scored again without success
	Replayed int64 `json:"replayed"`         // of them, rows by now
}

func (t *LetterTally) add(l *deadletter.Letter) {
	t.Events++
	if l.Replayed != nil {
		t.Replayed++
	} else if l.Replays > 0 {
		t.Again++
	}
}

// ReasonCount is how many dead letters have a reason.
type ReasonCount struct {
	Stage string `json:"stage"`
	// Reason has # for each number, so that the same fault in other places counts
	// as one.
	Reason string `json:"reason"`
	LetterTally
	First string `json:"first"` // partition:offset
	Last  string `json:"last"`
}

// LetterCounts answers a kind of job that counts dead letters.
type LetterCounts struct {
	Pipeline string `json:"pipeline"`
	LetterTally
	Bytes   int64          `json:"size_bytes"`
	Reasons []*ReasonCount `json:"reasons"` // the most frequent first
	// Others are events whose reasons are not among Reasons.
	Others int64 `json:"other_reasons"`

	byReason map[[2]string]*ReasonCount
}

func newLetterCounts(pipeline string) *LetterCounts {
	return &LetterCounts{Pipeline: pipeline, byReason: make(map[[2]string]*ReasonCount)}
}

func (c *LetterCounts) add(l *deadletter.Letter) {
	c.LetterTally.add(l)
	c.Bytes += int64(l.SizeBytes)
	key := [2]string{l.Stage, reasonClass(l)}
	r := c.byReason[key]
	if r == nil {
		if len(c.byReason) == maxReasons {
			c.Others++
			return
		}
		r = &ReasonCount{Stage: key[0], Reason: key[1], First: fmt.Sprintf("%d:%d", l.Partition, l.Offset)}
		c.byReason[key] = r
	}
	r.LetterTally.add(l)
	r.Last = fmt.Sprintf("%d:%d", l.Partition, l.Offset)
}

// finish puts the most frequent reasons first.
func (c *LetterCounts) finish(limit int) {
	c.Reasons = slices.AppendSeq([]*ReasonCount{}, maps.Values(c.byReason))
	slices.SortFunc(c.Reasons, func(a, b *ReasonCount) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Reason, b.Reason))
	})
	for limit > 0 && len(c.Reasons) > limit {
		c.Others += c.Reasons[len(c.Reasons)-1].Events
		c.Reasons = c.Reasons[:len(c.Reasons)-1]
	}
}

// number is a run of digits that is no part of a word, such as int64, or else
// what has digits and is the same for each event: the name of a field, formats of
// times and of text.
var number = regexp.MustCompile(`(?:field|column) "[^"]*"|timestamp \([^)]*\)|\b2006-01-02[^,)"]*|\b(?:RFC |UTF-|ISO )[0-9]+|\b[0-9]+\b`)

// reasonClass is the reason of a dead letter with # for each number that tells
// where in the event, or by how much. Those of cleaning name a step of the spec,
// the same for each event.
func reasonClass(l *deadletter.Letter) string {
	switch l.Stage {
	case "fetch", "decode", "score":
		return number.ReplaceAllStringFunc(l.Reason, func(s string) string {
			if strings.Trim(s, "0123456789") == "" {
				return "#"
			}
			return s
		})
	}
	return l.Reason
}
