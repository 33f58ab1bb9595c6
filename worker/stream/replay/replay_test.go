package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage"
)

func TestAReplayWithTheSameVersionHasTheSameBitsAndLeavesTheStreamAlone(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 1000)
	w.stream()
	live := w.objects("scored/")
	m, p := w.replay(1, "again/", "committed", "committed")
	verdict := w.judge("again/")
	if p.Done != 1000 || p.Scored+p.Dead != 1000 || p.Dead < 100 || verdict.Scored != p.Scored {
		t.Errorf("progress %+v, fsck: %s", p, verdict)
	}
	r, err := Diff(t.Context(), m, w.live(), w.into("again/"), 10, func(int64) {})
	check(t, err)
	if !r.Same() || r.Both != p.Scored || r.Equal != r.Both || r.DeadBoth != p.Dead || len(r.Largest)+len(r.Deaths) != 0 || len(r.Versions) != 1 {
		t.Errorf("the sets differ: %+v", r)
	}
	if diff := cmp.Diff(live, w.objects("scored/")); diff != "" {
		t.Errorf("the live objects changed: %s", diff)
	}
	groups, err := kmsg.NewPtrListGroupsRequest().RequestWith(t.Context(), w.client)
	check(t, err)
	if len(groups.Groups) != 0 {
		t.Errorf("groups were made: %v", groups.Groups)
	}
	// Running it again does nothing.
	before := w.objects("again/")
	if again, p2 := w.replay(1, "again/", "committed", "committed"); again.BegunAtUS != m.BegunAtUS || p2 != p {
		t.Errorf("run again: %+v, %+v", again, p2)
	}
	if diff := cmp.Diff(before, w.objects("again/")); diff != "" {
		t.Errorf("running it again changed objects: %s", diff)
	}
}

var errDead = errors.New("the process died")

// dying is a store that a process uses until it dies at its n-th write, before
// or after the write took effect.
type dying struct {
	storage.Bucket
	left  atomic.Int64
	after bool
	kill  context.CancelFunc
}

func (d *dying) PutIfAbsent(ctx context.Context, key string, body []byte) (storage.Info, error) {
	left := d.left.Add(-1)
	if left < 0 || left == 0 && !d.after {
		d.kill()
		return storage.Info{}, errDead
	}
	info, err := d.Bucket.PutIfAbsent(ctx, key, body)
	if left == 0 {
		d.kill()
		err = errDead
	}
	return info, err
}

func TestAKilledReplayGoesOnAndEndsWithTheSameRows(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 1000)
	w.stream()
	request := w.request(2, "whole/", "earliest", "latest")
	whole, err := Open(t.Context(), w.source, request)
	check(t, err)
	_, err = w.run(t.Context(), whole, w.lake, "whole/")
	check(t, err)
	const kills = 24
	var pinned [kills]*Manifest
	for kill := range kills {
		request.Into = w.into(fmt.Sprintf("killed%d/", kill))
		pinned[kill], err = Open(t.Context(), w.source, request)
		check(t, err)
	}
	w.produce(1000, 10) // "latest" goes on meaning what it meant
	for kill, m := range pinned {
		prefix := fmt.Sprintf("killed%d/", kill)
		ctx, cancel := context.WithCancel(t.Context())
		bucket := &dying{Bucket: w.lake, after: kill%2 == 1, kill: cancel}
		bucket.left.Store(int64(kill/2 + 1))
		if _, err := w.run(ctx, m, bucket, prefix); err == nil {
			t.Fatalf("killed at write %d, it ended well", kill/2+1)
		}
		again := request
		again.Into, again.NowUS = w.into(prefix), request.NowUS+1
		if m, err = Open(t.Context(), w.source, again); err != nil {
			t.Fatal(err)
		}
		_, err = w.run(t.Context(), m, w.lake, prefix)
		check(t, err)
		w.judge(prefix)
		for p := range partitions {
			if diff := cmp.Diff(w.cells("whole/", p), w.cells(prefix, p)); diff != "" {
				t.Fatalf("killed at write %d, partition %d has other rows: %s", kill/2+1, p, diff)
			}
		}
		// Not only the same rows: the same files but for the random id in their names.
		if diff := cmp.Diff(anonymous(w.objects("whole/data/")), anonymous(w.objects(prefix+"data/"))); diff != "" {
			t.Fatalf("killed at write %d, the files are others", kill/2+1)
		}
	}
}

func TestTwoWhoReplayTheSameMakeOneSet(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 2000)
	w.stream()
	m, err := Open(t.Context(), w.source, w.request(1, "both/", "earliest", "latest"))
	check(t, err)
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := w.run(t.Context(), m, w.lake, "both/")
			ended <- err
		}()
	}
	check(t, <-ended)
	check(t, <-ended)
	if v := w.judge("both/"); v.Scored+v.Dead != 2000 {
		t.Errorf("%s", v)
	}
	if r, err := Diff(t.Context(), m, w.live(), w.into("both/"), 10, func(int64) {}); err != nil || !r.Same() {
		t.Errorf("%+v, %v", r, err)
	}
}

var idInName = regexp.MustCompile(`-[0-9a-f]{32}-`)

// anonymous takes the prefix and the ids out of keys.
func anonymous(objects map[string]string) map[string]string {
	out := make(map[string]string)
	for key, body := range objects {
		_, rest, _ := strings.Cut(key, "/")
		out[idInName.ReplaceAllString(rest, "-id-")] = body
	}
	return out
}

func TestADiffAgreesWithAnIndependentComputation(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 700)
	w.stream()
	m, _ := w.replay(2, "v2/", "earliest", "latest")
	r, err := Diff(t.Context(), m, w.live(), w.into("v2/"), 5, func(int64) {})
	check(t, err)
	var both, equal, flipped, dead int64
	var sum, largest float64
	for p := range partitions {
		live, replayed := w.cells("scored/", p), w.cells("v2/", p)
		for offset, a := range live {
			b := replayed[offset]
			if strings.HasPrefix(a, "dead") {
				dead++
				continue
			}
			both++
			pa, pb := number(t, a, "probability"), number(t, b, "probability")
			sum += math.Abs(pa - pb)
			largest = max(largest, math.Abs(pa-pb))
			switch {
			case pa == pb:
				equal++
			case word(a, "prediction") != word(b, "prediction"):
				flipped++
			}
		}
	}
	if r.Both != both || r.Equal != equal || r.Differ != both-equal || r.Flipped != flipped || r.DeadBoth != dead || flipped == 0 || r.Same() {
		t.Errorf("got %+v; want %d in both, %d equal, %d flipped, %d dead", r.Tally, both, equal, flipped, dead)
	}
	if math.Abs(r.Delta.Mean-sum/float64(both)) > 1e-12 || r.Delta.Max != largest || len(r.Largest) != 5 || r.Largest[0].Delta != largest {
		t.Errorf("differences %+v; want a mean of %v, at most %v", r.Delta, sum/float64(both), largest)
	}
	for i, d := range r.Largest {
		cells := w.cells("v2/", d.Partition)[d.Offset]
		if i > 0 && d.Delta > r.Largest[i-1].Delta || *d.Replayed.Value != number(t, cells, "probability") || d.Live.Version != 1 || d.Replayed.Version != 2 ||
			!strings.Contains(d.Event, `"origin":`) {
			t.Errorf("difference %d is %+v; the row is %s", i, d, cells)
		}
	}
	if len(r.Versions) != 1 || r.Versions[0].Live != 1 || r.Versions[0].Replayed != 2 || r.Versions[0].Both != both {
		t.Errorf("pairs of versions: %+v", r.Versions)
	}
}

func word(cells, column string) string {
	_, rest, _ := strings.Cut(cells, " "+column+"=")
	value, _, _ := strings.Cut(rest, " ")
	return value
}

func number(t *testing.T, cells, column string) float64 {
	t.Helper()
	var f float64
	if _, err := fmt.Sscan(word(cells, column), &f); err != nil {
		t.Fatalf("%s has no %s: %v", cells, column, err)
	}
	return f
}

func TestRowsInFilesByDayAreComparedInTheOrderOfOffsets(t *testing.T) {
	w := newWorld(t)
	w.days = "date"
	w.produce(0, 600)
	w.stream()
	m, p := w.replay(1, "days/", "earliest", "latest")
	w.judge("days/")
	for _, prefix := range []string{"scored/", "days/"} {
		if n := len(w.objects(prefix + "data/")); n < 40 {
			t.Errorf("%s has %d files", prefix, n)
		}
	}
	r, err := Diff(t.Context(), m, w.live(), w.into("days/"), 10, func(int64) {})
	check(t, err)
	if !r.Same() || r.Both != p.Scored || r.DeadBoth != p.Dead {
		t.Errorf("got %+v", r)
	}
	w.days = ""
	m, _ = w.replay(2, "whole/", "earliest", "latest")
	if r, err = Diff(t.Context(), m, w.live(), w.into("whole/"), 10, func(int64) {}); err != nil || r.Both != p.Scored || r.OnlyLive+r.OnlyReplayed != 0 {
		t.Errorf("against files of another partition: %+v, %v", r, err)
	}
}

func TestADiffCountsWhatOnlyOneSetHas(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 300)
	w.stream()
	w.produce(300, 100) // not scored by the stream
	m, _ := w.replay(1, "ahead/", "earliest", "latest")
	r, err := Diff(t.Context(), m, w.live(), w.into("ahead/"), 10, func(int64) {})
	check(t, err)
	if r.Uncommitted != 100 || r.OnlyReplayed != 0 || r.OnlyLive != 0 || r.Differ != 0 || r.Same() {
		t.Errorf("got %+v", r)
	}
	w.stream()
	request := w.request(1, "empty/", "earliest", "latest")
	if m, err = Open(t.Context(), w.source, request); err != nil {
		t.Fatal(err)
	}
	if r, err = Diff(t.Context(), m, w.live(), w.into("empty/"), 10, func(int64) {}); err != nil || r.OnlyLive != 400 || r.Same() {
		t.Errorf("against a replay that never ran: %+v, %v", r, err)
	}
}

func TestBoundsMeanWhatTheySay(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 300) // timestamps 1000.000 s to 1000.299 s
	w.stream()
	w.produce(300, 50)
	var next [partitions]int64
	for p := range partitions {
		var err error
		_, next[p], err = w.source.Bounds(t.Context(), p)
		check(t, err)
	}
	committedTo := func(p int) int64 {
		_, to, err := committed(t.Context(), w.request(1, "x/", "earliest", "latest"), p, 0)
		check(t, err)
		return to
	}
	var since [partitions]int64
	for p := range partitions {
		var err error
		since[p], err = w.source.OffsetAt(t.Context(), p, time.UnixMilli(1_000_200))
		check(t, err)
		if since[p] <= 0 || since[p] >= next[p] {
			t.Fatalf("partition %d: offset %d at that time", p, since[p])
		}
	}
	at := time.UnixMilli(1_000_200).UTC().Format(time.RFC3339Nano)
	for i, c := range []struct {
		from, to string
		want     []Range
	}{
		{"earliest", "latest", []Range{{0, 0, next[0]}, {1, 0, next[1]}}},
		{"committed", "committed", []Range{{0, 0, committedTo(0)}, {1, 0, committedTo(1)}}},
		{"10", "20", []Range{{0, 10, 20}, {1, 10, 20}}},
		{"1:5", "1:9", []Range{{1, 5, 9}}},
		{"0:5,1:7", "latest", []Range{{0, 5, next[0]}, {1, 7, next[1]}}},
		{"1:0", "30", []Range{{1, 0, 30}}},
		{at, "latest", []Range{{0, since[0], next[0]}, {1, since[1], next[1]}}},
		{"earliest", at, []Range{{0, 0, since[0]}, {1, 0, since[1]}}},
		{"earliest", "2100-01-01T00:00:00Z", []Range{{0, 0, next[0]}, {1, 0, next[1]}}},
	} {
		m, err := Open(t.Context(), w.source, w.request(1, fmt.Sprintf("bounds%d/", i), c.from, c.to))
		if err != nil {
			t.Errorf("from %s to %s: %v", c.from, c.to, err)
		} else if diff := cmp.Diff(c.want, m.Partitions); diff != "" {
			t.Errorf("from %s to %s: %s", c.from, c.to, diff)
		}
	}
	for _, c := range []struct{ from, to, say string }{
		{"20", "10", "there is no event between the bounds"},
		{"0", "100000", "the topic ends at"},
		{"7:0", "7:1", "partition 7"},
		{"0:1", "1:1", "the same partitions"},
		{"latest", "latest", "there is no event"},
	} {
		_, err := Open(t.Context(), w.source, w.request(1, "refused/", c.from, c.to))
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("from %s to %s: %v, want %q", c.from, c.to, err, c.say)
		}
	}
	if got := w.objects("refused/"); len(got) != 0 {
		t.Errorf("refused replays wrote %v", maps.Keys(got))
	}
	for _, text := range []string{"", "soon", "-1", "1:", "a:1", "1:-2", "1:2,1:3", "2026-11-6"} {
		if _, err := ParseBound("--from", text); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("bound %q: %v", text, err)
		}
	}
	for _, text := range []string{"2026-11-26", "2026-11-26T05:30:00+0530", "2026-11-26 00:00:00 Z"} {
		if b, err := ParseBound("--from", text); err != nil || !b.at.Equal(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("bound %q: %v, %v", text, b.at, err)
		}
	}
}

func TestOffsetsLostToRetentionAreNamedBeforeAnythingIsWritten(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 400)
	w.stream()
	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 1, Offset: 70}}}}
	if _, err := cut.RequestWith(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), w.source, w.request(1, "lost/", "committed", "committed"))
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) || *missing != (connectors.MissingRange{Topic: topic, Partition: 1, From: 0, To: 70}) {
		t.Errorf("got %v", err)
	}
	if got := w.objects("lost/"); len(got) != 0 {
		t.Errorf("it wrote %d objects", len(got))
	}
	if m, err := Open(t.Context(), w.source, w.request(1, "rest/", "earliest", "committed")); err != nil || m.Partitions[1].From != 70 {
		t.Errorf("what is left: %+v, %v", m, err)
	}
}

func TestOffsetsLostWhileAReplayRunsEndIt(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 400)
	m, err := Open(t.Context(), w.source, w.request(1, "cut/", "earliest", "latest"))
	check(t, err)
	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 70}}}}
	if _, err := cut.RequestWith(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
	_, err = w.run(t.Context(), m, w.lake, "cut/")
	var missing *connectors.MissingRange
	if !thalweg.Is(err, thalweg.Lost) || !errors.As(err, &missing) || missing.From != 0 || missing.To != 70 || strings.Contains(err.Error(), "stream resume") {
		t.Errorf("got %v", err)
	}
	w.judge("cut/")
}

func TestATopicThatWasMadeAnewIsNotReplayedForTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 100)
	request := w.request(1, "anew/", "earliest", "latest")
	m, err := Open(t.Context(), w.source, request)
	check(t, err)
	if len(m.TopicID) != 32 {
		t.Fatalf("topic id %q", m.TopicID)
	}
	gone := kmsg.NewPtrDeleteTopicsRequest()
	gone.TopicNames = []string{topic}
	named := kmsg.NewDeleteTopicsRequestTopic()
	named.Topic = kmsg.StringPtr(topic)
	gone.Topics = []kmsg.DeleteTopicsRequestTopic{named}
	if _, err := gone.RequestWith(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
	w.producer = w.newProducer() // the old one numbers on what is missing
	check(t, w.producer.CreateTopic(t.Context(), partitions))
	w.produce(500, 200)
	if _, err := w.run(t.Context(), m, w.lake, "anew/"); !thalweg.Is(err, thalweg.Lost) {
		t.Errorf("the new topic was read: %v", err)
	}
	if _, err := Open(t.Context(), w.source, request); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), "identity") {
		t.Errorf("begun again: %v", err)
	}
	if n := len(w.objects("anew/")); n != 1 {
		t.Errorf("%d objects, want the one that pins the replay", n)
	}
}

func TestAReplayKeepsOutOfOtherPlaces(t *testing.T) {
	w := newWorld(t)
	w.produce(0, 100)
	w.stream()
	w.replay(1, "replays/one/", "earliest", "latest")
	for key, body := range map[string]string{"other/_log/flights/00000/000000000000.intent.json": "{}", "full/notes.txt": "mine"} {
		if _, err := w.lake.Put(t.Context(), key, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		into string
		say  string
	}{
		{"scored/", "where pipeline flight-delays (spec.scoring.sink.s3.path) puts its rows"},
		{"scored/replay/", "where pipeline flight-delays (spec.scoring.sink.s3.path) puts its rows"},
		{"flights/new/", "the training data of pipeline flights"},
		{"", "in or around"},
		{"elsewhere/", "in or around s3://lake/elsewhere/deep/"},
		{"other/", "it is not empty"},
		{"other/below/", "inside of another sink"},
		{"full/", "it is not empty"},
		{"replays/one/data/", "it is not empty"},
		{"replays/one/new/", "inside of another sink"},
		{"replays/", "it is not empty"},
	} {
		req := w.request(1, c.into, "earliest", "latest")
		req.Taken = append(req.Taken, taken("elsewhere/deep/"), pipeline.Claim{Use: pipeline.Dataset, Owner: "flights",
			Kind: pipeline.StoreConnection, Bucket: "lake", Key: "flights/*.parquet"})
		if _, err := Open(t.Context(), w.source, req); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("into %q: %v, want %q", c.into, err, c.say)
		}
	}
	for what, req := range map[string]Request{
		"model version is 1, not 2": w.request(2, "replays/one/", "earliest", "latest"),
		"from is earliest, not 5":   w.request(1, "replays/one/", "5", "latest"),
		"to is latest, not 50":      w.request(1, "replays/one/", "earliest", "50"),
	} {
		if _, err := Open(t.Context(), w.source, req); !thalweg.Is(err, thalweg.Conflict) || !strings.Contains(err.Error(), what) {
			t.Errorf("other arguments: %v, want %q", err, what)
		}
	}
}

func TestQuantilesAreWithinOnePercent(t *testing.T) {
	var h histogram
	for i := range 10_000 {
		h.add(float64(i) / 1000)
	}
	q := h.quantiles()
	for _, c := range []struct{ got, want float64 }{{q.P50, 4.9995}, {q.P90, 8.9991}, {q.P99, 9.89901}, {q.P999, 9.98901}} {
		if math.Abs(c.got-c.want) > 0.011*c.want {
			t.Errorf("quantile %v, want %v", c.got, c.want)
		}
	}
	if q.Max != 9.999 || math.Abs(q.Mean-4.9995) > 1e-9 {
		t.Errorf("%+v", q)
	}
	var extreme histogram
	for _, v := range []float64{0, 0, math.SmallestNonzeroFloat64, math.MaxFloat64, math.Inf(1), math.NaN()} {
		extreme.add(v)
	}
	if q := extreme.quantiles(); q.P50 != math.SmallestNonzeroFloat64 && q.P50 > 1e-300 || q.Max != math.MaxFloat64 || math.IsNaN(q.P999) {
		t.Errorf("extremes: %+v", q)
	}
}
