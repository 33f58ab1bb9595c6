package deadletter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// step gives somebody a turn and waits until they want the next or are done.
func (s *replaySim) step(p *replayPerson, f fate) {
	p.turn <- f
	select {
	case <-p.waits:
	case err := <-p.ended:
		p.over = true
		p.cancel()
		if err != nil && !p.dead && s.failed == nil && f == lives {
			s.failed = fmt.Errorf("a replay of %q failed: %w", p.where, err)
		}
	}
}

// run plays turns of trouble, then lets one more person finish in peace.
func (s *replaySim) run(turns int) {
	for range turns {
		var live []*replayPerson
		for _, p := range s.people {
			if !p.over {
				live = append(live, p)
			}
		}
		switch n := s.rng.IntN(100); {
		case n < 3:
			s.grow()
		case len(live) == 0 || n < 8 && len(live) < 3:
			s.begin(simWheres[s.rng.IntN(len(simWheres))], 1+s.rng.IntN(simVersions), false)
			continue
		case n < 10:
			s.settleLate()
		}
		if len(live) == 0 {
			continue
		}
		p := live[s.rng.IntN(len(live))]
		switch n := s.rng.IntN(60); {
		case p.asleep > 0:
			p.asleep--
		case n == 0:
			s.step(p, diesBefore)
		case n == 1:
			s.step(p, diesAfter)
		case n == 2:
			p.asleep = s.rng.IntN(40) // to wake up as a zombie
		default:
			s.step(p, lives)
		}
	}
	for _, p := range s.people {
		for !p.over {
			s.step(p, diesBefore)
		}
	}
	s.settleLate()
	last := s.begin("", simVersions, true)
	for !last.over {
		s.step(last, lives)
	}
}

// settleLate lets requests arrive that were thought lost.
func (s *replaySim) settleLate() {
	for _, p := range s.people {
		if b, ok := p.bucket.(*fault.Bucket); ok {
			b.Settle(context.Background())
		}
	}
}

// judge reads the store as a stranger would and returns what is not as
// promised.
func (s *replaySim) judge() []string {
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	ctx := context.Background()
	if s.failed != nil {
		complain("%v", s.failed)
	}
	log, err := commitlog.New(s.bucket, replaySimLog(true))
	if err != nil {
		panic(err)
	}
	rowOf := make(map[int64]string) // plain glob: where each offset is
	for info := range s.bucket.List(ctx, log.Layout().DataDir(), "") {
		body, _, err := s.bucket.Get(ctx, info.Key)
		if err != nil {
			panic(err)
		}
		for line := range bytes.Lines(body) {
			at, _, _, _ := simLine(line)
			if other, twice := rowOf[at]; twice {
				complain("offset %d is in %s and in %s", at, other, info.Key)
			}
			rowOf[at] = info.Key
		}
	}
	named := make(map[string]bool)
	scored := make(map[int64]bool)
	for e, err := range log.Read(ctx, 0) {
		if err != nil {
			complain("%v", err)
			break
		}
		where, err := NewSelection(e.Intent.Where)
		if err != nil {
			panic(err)
		}
		got := make(map[int64]string)
		for _, o := range e.Done.Objects {
			named[o.Key] = true
			body, _, err := s.bucket.Get(ctx, o.Key)
			if err != nil {
				complain("%v", err)
				continue
			}
			for line := range bytes.Lines(body) {
				var l engine.DeadLetter
				at, kind, version := int64(0), "dead", int(e.Intent.ModelVersion)
				if o.Kind == commitlog.Scored {
					at, kind, version, _ = simLine(line)
					if !bytes.Contains(line, []byte(e.Intent.ID)) {
						complain("slot %d: offset %d does not say which replay it is of", e.Intent.Seq, at)
					}
				} else if err := json.Unmarshal(line, &l); err != nil {
					complain("%v", err)
				} else if at = l.Offset; l.Replay != e.Intent.ID {
					complain("slot %d: dead letter %d is not marked", e.Intent.Seq, at)
				}
				if version != int(e.Intent.ModelVersion) {
					complain("slot %d: offset %d was scored by version %d, not %d", e.Intent.Seq, at, version, e.Intent.ModelVersion)
				}
				got[at] = kind
			}
		}
		for at := e.Intent.From; at < e.Intent.To; at++ {
			ev := s.events[at]
			chosen := false
			if ev.dead && ev.whole && !scored[at] && ev.slot >= e.Intent.Slots[0] && ev.slot < e.Intent.Slots[1] {
				kept, err := where.keep([]engine.DeadLetter{ev.letter})
				if err != nil {
					panic(err)
				}
				chosen = len(kept) == 1
			}
			want := ""
			if chosen {
				want = "dead"
				if ev.needs <= int(e.Intent.ModelVersion) {
					want = "row"
				}
			}
			if got[at] != want {
				complain("slot %d (%q by version %d): offset %d is %q, not %q", e.Intent.Seq, e.Intent.Where, e.Intent.ModelVersion, at, got[at], want)
			}
			if got[at] == "row" {
				scored[at] = true
			}
			delete(got, at)
		}
		if len(got) > 0 {
			complain("slot %d has offsets out of its range: %v", e.Intent.Seq, got)
		}
	}
	for at, ev := range s.events {
		want := ev.dead && ev.whole && ev.needs <= simVersions
		if _, is := rowOf[int64(at)]; is != want {
			complain("offset %d: a row %v, not %v", at, is, want)
		}
	}
	for _, dir := range []string{log.Layout().DataDir(), log.Layout().DeadDir()} {
		for info := range s.bucket.List(ctx, dir, "") {
			if !named[info.Key] {
				complain("%s is named by no record", info.Key)
			}
		}
	}
	return wrong
}

func replayVerdict(seed uint64, wrong replayWrongness) []string {
	s := newReplaySim(seed, wrong)
	s.run(400)
	return s.judge()
}

// TestWhoeverReplaysEachDeadLetterBecomesARowOnce plays people who replay the
// same dead letters at once, with selections and versions of their own, die
// anywhere, stall and wake up as zombies, beside a stream that goes on.
func TestWhoeverReplaysEachDeadLetterBecomesARowOnce(t *testing.T) {
	n := cmp.Or(*seeds, effort.Seeds(100, 1000))
	slots := 0
	for seed := *firstSeed; seed < *firstSeed+n; seed++ {
		s := newReplaySim(seed, replayRight)
		s.run(400)
		if found := s.judge(); len(found) > 0 {
			t.Fatalf("%s\nagain: go test ./worker/stream/deadletter -run '^%s$' -first-seed %d -seeds 1", strings.Join(found, "\n"), t.Name(), seed)
		}
		for range s.replayed() {
			slots++
		}
	}
	t.Logf("%d seeds, %d files of replayed rows", n, slots)
}

// TestEachWrongReplayIsCaught proves that the judge sees.
func TestEachWrongReplayIsCaught(t *testing.T) {
	for _, wrong := range []replayWrongness{replayTwice, replayOtherWhere, replayOtherModel, replayCheckWrite, replayRemembers} {
		t.Run(string(wrong), func(t *testing.T) {
			for seed := range uint64(300) {
				if found := replayVerdict(seed, wrong); len(found) > 0 {
					t.Logf("seed %d: %s", seed, found[0])
					return
				}
			}
			t.Error("300 seeds did not show it")
		})
	}
}
