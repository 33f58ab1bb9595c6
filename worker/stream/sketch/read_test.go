package sketch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// rowsAt returns counts of so many rows of an hour, in the form of files.
func rowsAt(t *testing.T, rows map[int]int) *monitor.Sketch {
	t.Helper()
	var list []string
	for at, n := range rows {
		list = append(list, fmt.Sprintf(`{"from_us":%d,"width_us":3600000000,"version":1,"one_in":1,"rows":%d}`, int64(at)*time.Hour.Microseconds(), n))
	}
	s := new(monitor.Sketch)
	if err := s.UnmarshalJSON([]byte("[" + strings.Join(list, ",") + "]")); err != nil {
		t.Fatal(err)
	}
	return s
}

// reads counts what is read.
type reads struct {
	storage.Bucket
	n int
}

func (r *reads) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	r.n++
	return r.Bucket.Get(ctx, key)
}

func reported(t *testing.T, bucket storage.Bucket, windows int) *monitor.Report {
	t.Helper()
	r, err := Report(t.Context(), bucket, []commitlog.Config{log}, new(pipeline.Spec).Drift(), windows, func(thalweg.ModelVersion) (*monitor.Reference, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every slot has rows of the hour that it is in and late ones of the hours before. All rows of
// the newest windows are found, and files that have none are not read to the oldest.
func TestLateRowsDoNotHideThoseOfEarlierFiles(t *testing.T) {
	t.Parallel()
	const hours, each, late = 40, 10, 6
	bucket := &reads{Bucket: memory.New()}
	s := NewStore(bucket, log)
	s.most = each / 2
	want := make(map[int]int)
	for slot := range hours * each {
		at := 1000 + slot/each
		rows := map[int]int{at: 100}
		for k := range late {
			rows[at-1-k] = 1
		}
		for hour, n := range rows {
			want[hour] += n
		}
		if err := s.Add(t.Context(), uint64(slot), rowsAt(t, rows)); err != nil {
			t.Fatal(err)
		}
	}
	bucket.n = 0
	for _, windows := range []int{1, 2, 5} {
		r := reported(t, bucket, windows)
		if len(r.Windows) < windows {
			t.Fatalf("%d windows", len(r.Windows))
		}
		for _, w := range r.Windows[len(r.Windows)-windows:] {
			if hour := int(w.From.Unix() / 3600); w.Rows != int64(want[hour]) {
				t.Errorf("of %d windows: %d rows of hour %d, not %d", windows, w.Rows, hour, want[hour])
			}
		}
	}
	if bucket.n > 60 {
		t.Errorf("%d files were read", bucket.n)
	}
}

// Dead letters, which go by other times, and rows dated to come take the place of no window that
// can be judged; nor do a few rows of newer windows.
func TestTheNewestWindowThatCanBeJudgedIsThere(t *testing.T) {
	t.Parallel()
	bucket := memory.New()
	s := NewStore(bucket, log)
	s.most = 3
	ahead := int(time.Now().Add(20*365*24*time.Hour).Unix() / 3600)
	for slot := range 20 {
		counts := rowsAt(t, map[int]int{1000: 5000, 1100 + slot: 1, ahead + slot: 1})
		hour.Die(counts, 1, int64(2000+slot)*time.Hour.Microseconds(), "decode: it is no JSON")
		if err := s.Add(t.Context(), uint64(slot), counts); err != nil {
			t.Fatal(err)
		}
	}
	r := reported(t, bucket, 2)
	var hours []int64
	for _, w := range r.Windows {
		hours = append(hours, w.From.Unix()/3600)
	}
	if fmt.Sprint(hours) != "[1000 1118 1119 2018 2019]" || r.Windows[0].Rows < 1000 || r.Windows[4].DeadLetters != 1 || r.Ahead == 0 {
		t.Errorf("hours %v, %d rows ahead", hours, r.Ahead)
	}
}

// What is kept of a partition is bounded by its bytes, too.
func TestManyLargeFilesAreBounded(t *testing.T) {
	t.Parallel()
	bucket := memory.New()
	s := NewStore(bucket, log)
	s.mostBytes = 4 << 10
	for slot := range 30 {
		s.most = 1
		rows := make(map[int]int)
		for k := range 10 {
			rows[10*slot+k] = 1
		}
		if err := s.Add(t.Context(), uint64(slot), rowsAt(t, rows)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := list(t.Context(), bucket, Dir(log), "")
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, f := range files {
		total += f.bytes
	}
	if total > s.mostBytes || len(files) < 2 || files[len(files)-1].slot != 29 {
		t.Errorf("%d files of %d bytes", len(files), total)
	}
}
