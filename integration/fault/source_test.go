package fault_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/integration/fault"
)

// numbers is a topic of one partition whose record n has the offset n.
type numbers struct {
	partitions int
	first, end int64
	group      []int64
}

func (n *numbers) Topic(context.Context) (connectors.Topic, error) {
	return connectors.Topic{ID: "t", Partitions: n.partitions}, nil
}
func (n *numbers) Bounds(context.Context, int) (first, next int64, err error) {
	return n.first, n.end, nil
}
func (n *numbers) Commit(_ context.Context, _ int, next int64) error {
	n.group = append(n.group, next)
	return nil
}
func (n *numbers) Close() error { return nil }
func (n *numbers) Fetch(_ context.Context, _ int, offset int64, _ time.Duration, _ int, dst *connectors.Records) error {
	dst.Reset()
	for at := offset; at < min(offset+10, n.end); at++ {
		dst.Append(at, at, []byte{'k', byte(at)}, []byte{byte(at)})
	}
	dst.Next, dst.End = offset+int64(dst.Len()), n.end
	return nil
}

func fetch(t *testing.T, s connectors.Source, offset int64) (*connectors.Records, error) {
	t.Helper()
	r := &connectors.Records{Want: connectors.Keys}
	err := s.Fetch(t.Context(), 0, offset, time.Second, 1000, r)
	return r, err
}

func TestWithoutRulesItIsTheInnerSource(t *testing.T) {
	n := &numbers{partitions: 3, end: 25}
	s := fault.NewSource(n, fault.Plan{})
	var got []int64
	for next := int64(0); next < n.end; {
		r, err := fetch(t, s, next)
		if err != nil || r.CheckFrom(next) != nil {
			t.Fatal(err, r.CheckFrom(next))
		}
		got = append(got, r.Offsets...)
		next = r.Next
	}
	if len(got) != 25 || got[24] != 24 {
		t.Errorf("read %v", got)
	}
	if topic, err := s.Topic(t.Context()); err != nil || topic.Partitions != 3 {
		t.Error(topic, err)
	}
	if err := s.Commit(t.Context(), 0, 25); err != nil || !slices.Equal(n.group, []int64{25}) || len(s.Injected()) > 0 {
		t.Error(err, n.group, s.Injected())
	}
}

func TestFetchesGoWrongAsTheirFaultSays(t *testing.T) {
	n := &numbers{end: 100}
	for f, kind := range map[fault.Fault]thalweg.Kind{fault.LostRequest: thalweg.Unavailable, fault.BitFlip: thalweg.Corrupt} {
		if _, err := fetch(t, fault.NewSource(n, always(f)), 0); !thalweg.Is(err, kind) || !strings.Contains(err.Error(), "seed 7") {
			t.Errorf("%s: %v, want %s and the seed", f, err, kind)
		}
	}
	r, err := fetch(t, fault.NewSource(n, always(fault.Truncated)), 50)
	if err != nil || r.Len() >= 10 || r.CheckFrom(50) != nil || r.Next != 50+int64(r.Len()) {
		t.Errorf("truncated: %v up to %d, %v", r.Offsets, r.Next, err)
	}
	for i, at := range r.Offsets {
		if string(r.Key(i)) != string([]byte{'k', byte(at)}) || r.Value(i)[0] != byte(at) {
			t.Errorf("truncated: record %d is %q: %q", at, r.Key(i), r.Value(i))
		}
	}
	if r, err := fetch(t, fault.NewSource(n, always(fault.Duplicate)), 50); err != nil || r.Offsets[0] >= 50 || r.CheckFrom(50) == nil {
		t.Errorf("duplicate: %v, %v", r.Offsets, err)
	}
	n.first = 50
	if r, err := fetch(t, fault.NewSource(n, always(fault.Duplicate)), 50); err != nil || r.CheckFrom(50) != nil {
		t.Errorf("duplicate of what is gone: %v, %v", r.Offsets, err)
	}
}

func TestASlowAnswerComesAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := fault.NewSource(&numbers{end: 100}, always(fault.Slow)), time.Now()
		if r, err := fetch(t, s, 0); err != nil || r.Len() != 10 || time.Since(began) == 0 {
			t.Error(r.Offsets, err, time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Commit(ctx, 0, 1); !thalweg.Is(err, thalweg.Canceled) {
			t.Error(err)
		}
	})
}

func TestStaleAnswersAreThoseOfLastTime(t *testing.T) {
	n := &numbers{partitions: 1, end: 10}
	s := fault.NewSource(n, always(fault.Stale))
	s.Topic(t.Context())
	s.Bounds(t.Context(), 0)
	n.partitions, n.end = 2, 20
	topic, _ := s.Topic(t.Context())
	if _, next, _ := s.Bounds(t.Context(), 0); topic.Partitions != 1 || next != 10 {
		t.Errorf("%+v, %d", topic, next)
	}
}

func TestCommitsTakeEffectUnheardOrLate(t *testing.T) {
	n := &numbers{}
	if err := fault.NewSource(n, always(fault.LostReply)).Commit(t.Context(), 0, 5); !thalweg.Is(err, thalweg.Unavailable) || !slices.Equal(n.group, []int64{5}) {
		t.Errorf("lost reply: %v, %v", err, n.group)
	}
	n.group = nil
	s := fault.NewSource(n, fault.Plan{Rules: []fault.Rule{{Fault: fault.Late, Rate: 1, Times: 1}}})
	if err := s.Commit(t.Context(), 0, 5); err == nil || len(n.group) > 0 {
		t.Errorf("late: %v, %v", err, n.group)
	}
	if err := s.Commit(t.Context(), 0, 9); err != nil {
		t.Error(err)
	}
	for range 10 {
		s.Topic(t.Context())
	}
	if !slices.Equal(n.group, []int64{9, 5}) {
		t.Errorf("some operations later: %v", n.group)
	}
}

func TestOneSeedMeansOnePlanForASource(t *testing.T) {
	outcomes := func(seed uint64) (all []string) {
		s := fault.NewSource(&numbers{end: 1000}, fault.Chaos(seed, 0.1, fault.LostRequest, fault.Slow, fault.Truncated, fault.BitFlip, fault.Duplicate))
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a slow answer is one that was not waited for
		for i := range int64(50) {
			r := &connectors.Records{}
			err := s.Fetch(ctx, 0, i, 0, 0, r)
			all = append(all, thalweg.KindOf(err).String(), string(rune('0'+r.Len())))
		}
		return all
	}
	if !slices.Equal(outcomes(1), outcomes(1)) || slices.Equal(outcomes(1), outcomes(2)) {
		t.Error("a seed does not decide")
	}
	if len(outcomes(3)) == 0 {
		t.Error("nothing happened")
	}
}
