//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/thalweg/thalweg/storage"
)

// flight is one event that the topic has taken.
type flight struct {
	value  []byte // as it was sent; nil: a null event
	poison bool   // it cannot be scored
	// What its scored row shows, if it has one. No two events have the same date.
	date                     int64 // microseconds since 1970 UTC
	distance, origin, target string
}

// feed writes flights to a topic by a client that shares no code with ours,
// and remembers where each one went.
type feed struct {
	client *kgo.Client
	mu     struct {
		sync.Mutex
		made int
		sent map[place]flight
		ends []int64 // next offset of each partition
	}
}

func newFeed(t *testing.T, brokers []string, topic string, partitions int) *feed {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f := &feed{client: client}
	f.mu.sent = make(map[place]flight)
	f.mu.ends = make([]int64, partitions)
	return f
}

// write sends n events, spread over the partitions, and returns when the topic
// has them.
func (f *feed) write(ctx context.Context, n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	records := make([]*kgo.Record, n)
	flights := make(map[*kgo.Record]flight, n)
	for i := range records {
		e := makeFlight(f.mu.made)
		records[i] = &kgo.Record{Partition: int32(f.mu.made % len(f.mu.ends)), Value: e.value}
		flights[records[i]] = e
		f.mu.made++
	}
	// An event whose sending is cut short may be in the topic or not: never cut.
	for _, res := range f.client.ProduceSync(context.WithoutCancel(ctx), records...) {
		if res.Err != nil {
			return res.Err
		}
		f.mu.sent[place{int64(res.Record.Partition), res.Record.Offset}] = flights[res.Record]
		f.mu.ends[res.Record.Partition] = max(f.mu.ends[res.Record.Partition], res.Record.Offset+1)
	}
	return nil
}

// The load of a flow, in events: 2000 a second.
const (
	flowEvery = 10 * time.Millisecond
	flowBatch = 20
)

// flow sends events steadily until stop is called, which returns when the topic
// has the last of them.
func (f *feed) flow(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(flowEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
				if err := f.write(ctx, flowBatch); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the feed broke off: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// ends returns the next offset of each partition.
func (f *feed) ends() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.mu.ends)
}

// flights returns all that was sent, and how many of them are poison.
func (f *feed) flights() (sent map[place]flight, poison int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.mu.sent {
		if e.poison {
			poison++
		}
	}
	return maps.Clone(f.mu.sent), poison
}

// firstFlight is when flight 0 departs; each later one does so a microsecond
// after the one before.
var firstFlight = time.Date(2001, time.June, 30, 17, 5, 0, 0, time.UTC)

// makeFlight returns event n of a feed. One of 25 is poison, and one of 50 has a
// key twice, which is poison too; others of 10 are unusual and can be scored all
// the same.
func makeFlight(n int) flight {
	airports := []string{"ORD", "LGA", "DFW", "ATL", "SFO", "DEN", "a town that no flight of the sample touches"}
	at := firstFlight.Add(time.Duration(n) * time.Microsecond)
	f := flight{date: at.UnixMicro(), distance: fmt.Sprint(100 + n%2400), origin: airports[n%7], target: airports[n/7%7]}
	event := func(format string, args ...any) flight {
		head := fmt.Sprintf(`{"date":"%s","delay":%d,"destination":"%s"`, at.Format("2006-01-02T15:04:05.000000Z"), n%90-10, f.target)
		f.value = []byte(head + fmt.Sprintf(format, args...))
		return f
	}
	if n%25 == 7 {
		f.poison = true
		switch n / 25 % 7 {
		case 0:
			return event(``) // cut off
		case 1:
			f.value = fmt.Appendf(nil, "flight %d is late", n)
			return f
		case 2:
			return event(`,"distance":"far","origin":"ORD"}`)
		case 3:
			return event(`,"distance":733,"origin":["ORD"]}`)
		case 4:
			f.value = fmt.Appendf(nil, `{"date":"yesterday","distance":%d}`, n)
			return f
		case 5:
			f.value = fmt.Appendf(nil, `[%d]`, n)
			return f
		default:
			f.value = nil // a tombstone
			return f
		}
	}
	if n%10 == 3 {
		switch n / 10 % 5 {
		case 0:
			f.distance = array.NullValueStr
			return event(`,"origin":"%s"}`, f.origin)
		case 1:
			f.origin = array.NullValueStr
			return event(`,"distance":%s,"origin":null}`, f.distance)
		case 2:
			return event(`,"distance":%s,"origin":"%s","crew":{"names":["A","B"],"of":[[]]}}`, f.distance, f.origin)
		case 3:
			return event(`,"distance":%s.0,"origin":"%s"}`, f.distance, f.origin)
		default:
			f.poison = true // a key twice
			return event(` , "distance" : 1 , "distance":%s,"origin":""}`, f.distance)
		}
	}
	return event(`,"distance":%s,"origin":"%s"}`, f.distance, f.origin)
}

// wantEachOnce reads the results under prefix as anyone would, listing files
// and reading them with Arrow's own reader, and fails the test unless each
// event of the feed is in exactly one row or dead letter and is the event that
// was sent. It returns the rows by model version.
func (f *feed) wantEachOnce(t *testing.T, bucket storage.Bucket, prefix string) (rows map[int64]int) {
	t.Helper()
	sent, poison := f.flights()
	left := maps.Clone(sent)
	take := func(at place, poison bool) (flight, bool) {
		e, ok := left[at]
		switch _, known := sent[at]; {
		case ok && e.poison == poison:
			delete(left, at)
			return e, true
		case ok:
			t.Errorf("partition %d offset %d: is poison: %v, was treated as such: %v: %s", at.partition, at.offset, e.poison, poison, e.value)
		case known:
			t.Errorf("partition %d offset %d is in the results twice", at.partition, at.offset)
		default:
			t.Errorf("partition %d offset %d is in the results and was never sent", at.partition, at.offset)
		}
		return flight{}, false
	}
	rows = make(map[int64]int)
	for key, body := range objectsUnder(t, bucket, prefix+"data/") {
		if !strings.HasSuffix(key, ".parquet") {
			t.Errorf("%s is among the data", key)
		}
		readParquet(t, key, body, func(batch arrow.Record) {
			date, text := columnOf[*array.Timestamp](t, batch, "date"), func(name string, i int) string {
				return columnOf[arrow.Array](t, batch, name).ValueStr(i)
			}
			partition, offset, version := ints(t, batch, "_partition"), ints(t, batch, "_offset"), ints(t, batch, "_model_version")
			probability := floats(t, batch, "probability")
			for i := range int(batch.NumRows()) {
				at := place{partition.Value(i), offset.Value(i)}
				rows[version.Value(i)]++
				e, ok := take(at, false)
				if !ok {
					continue
				}
				got := flight{date: int64(date.Value(i)), distance: text("distance", i), origin: text("origin", i), target: text("destination", i)}
				want := flight{date: e.date, distance: e.distance, origin: e.origin, target: e.target}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("partition %d offset %d: row %+v, sent was %s", at.partition, at.offset, got, e.value)
				}
				if p := probability.Value(i); !(p > 0 && p < 1) {
					t.Errorf("partition %d offset %d has probability %v", at.partition, at.offset, p)
				}
			}
		})
	}
	dead := 0
	for key, body := range objectsUnder(t, bucket, prefix+"_dead/") {
		for line := range bytes.Lines(body) {
			var letter struct {
				Partition int64  `json:"partition"`
				Offset    int64  `json:"offset"`
				Reason    string `json:"reason"`
				Raw       []byte `json:"raw"`
			}
			if err := json.Unmarshal(line, &letter); err != nil {
				t.Fatalf("%s: %v: %s", key, err, line)
			}
			dead++
			if e, ok := take(place{letter.Partition, letter.Offset}, true); ok && (letter.Reason == "" || !bytes.Equal(letter.Raw, e.value)) {
				t.Errorf("%s: %s is no letter with a reason of %q", key, line, e.value)
			}
		}
	}
	if dead != poison {
		t.Errorf("%d dead letters, %d poisoned events", dead, poison)
	}
	for at, e := range left {
		t.Errorf("partition %d offset %d is lost, and %d more: %s", at.partition, at.offset, len(left)-1, e.value)
		break
	}
	return rows
}

// objectsUnder returns the objects whose keys begin with prefix.
func objectsUnder(t *testing.T, bucket storage.Bucket, prefix string) map[string][]byte {
	t.Helper()
	bodies := make(map[string][]byte)
	for info, err := range bucket.List(t.Context(), prefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := bucket.Get(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		bodies[info.Key] = body
	}
	return bodies
}
