package worker

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/klauspost/compress/zstd"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

// fileBytes is what reading a table may allocate, whatever it is: a file takes no more than a
// worker of 512 MB has.
const fileBytes = 448 << 20

// hostileTables are by name objects that would cost much without bounds: the names of their
// fields end with how they are encoded.
func hostileTables(t testing.TB) map[string][]byte {
	large := int(effort.Seeds(8<<20, 96<<20))
	zipped := func(data []byte) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(data)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	squeezed := func(data []byte, window int) []byte {
		var out bytes.Buffer
		w, err := zstd.NewWriter(&out, zstd.WithWindowSize(window), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 { // as a stream, whose window is not that of its size
			n := min(len(data), 1<<20)
			_, _ = w.Write(data[:n])
			_ = w.Flush()
			data = data[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	rows := []byte("x,y,z\n" + strings.Repeat("1,2,3\n", 1000))
	const fields = 2 << 20
	return map[string][]byte{
		"a line without end.csv":        bytes.Repeat([]byte("a"), large),
		"a row without end.csv":         append([]byte("x,y,z\n"), bytes.Repeat([]byte("a,"), large/2)...),
		"a quote without end.csv":       append([]byte("x,y,z\n1,2,\""), bytes.Repeat([]byte("a\n"), large/2)...),
		"quotes.csv":                    append([]byte("x,y,z\n"), bytes.Repeat([]byte("\""), large)...),
		"delimiters.csv":                append([]byte("x,y,z\n"), bytes.Repeat([]byte(","), fields)...),
		"a header of delimiters.csv":    append(bytes.Repeat([]byte(","), fields), "\n1,2\n"...),
		"a header of names.csv":         []byte(strings.Join(strings.Fields(strings.Repeat("abcdefg ", fields/8)), ",") + "\n1,2\n"),
		"a bomb.csv.gz":                 zipped(append([]byte("x,y,z\n"), make([]byte, large)...)),
		"a bomb of rows.csv.gz":         zipped(bytes.Repeat(rows, 8<<20/len(rows))),
		"a bomb in a bomb.csv.gz":       zipped(zipped(make([]byte, large))),
		"a bomb.csv.zst":                squeezed(append([]byte("x,y,z\n"), make([]byte, 96<<20)...), 8<<20),
		"a wide window.csv.zst":         squeezed(bytes.Repeat(rows, 200), 128<<20),
		"a window beyond the bound.zst": squeezed(bytes.Repeat(rows, 200), 256<<20),
		"a cut bomb.csv.gz":             zipped(make([]byte, large))[:large/2000],
		"nesting.jsonl":                 bytes.Repeat([]byte("["), large),
		"nesting within a record.jsonl": append([]byte(`{"x":`+strings.Repeat(`[`, fields)), "\n"...),
		"objects.jsonl":                 append([]byte(strings.Repeat(`{"x":`, fields/8)), "\n"...),
		"a text without end.jsonl":      append([]byte(`{"x":"`), bytes.Repeat([]byte("a"), large)...),
		"digits.jsonl":                  append(append([]byte(`{"y":`), bytes.Repeat([]byte("9"), fields)...), "}\n"...),
		"names.jsonl":                   []byte(`{` + strings.Join(strings.Fields(rowsOfNames(fields/16)), ",") + "}\n"),
		"lines of names.jsonl":          []byte(strings.Repeat(`{"x":1}`+"\n", 100) + `{` + strings.Join(strings.Fields(rowsOfNames(fields/17)), ",") + "}\n"),
		"one name.jsonl":                []byte(`{` + strings.Repeat(`"x":1,`, fields/8) + `"x":1}` + "\n"),
		"blank lines.jsonl":             bytes.Repeat([]byte("\n"), large),
		"escapes.jsonl":                 append(append([]byte(`{"x":"`), bytes.Repeat([]byte(`\ud800`), fields/8)...), "\"}\n"...),
		"a bomb.jsonl.gz":               zipped(append([]byte(`{"x":"`), make([]byte, large)...)),
	}
}

// rowsOfNames are n fields of different names.
func rowsOfNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\"f%d\":%d ", i, i)
	}
	return b.String()
}

// refused says by which bound some of them are.
var refused = map[string]string{
	"a line without end.csv": "more than 4 MiB", "a header of delimiters.csv": "the fields of its header, line 1, are more than 100000",
	"a bomb.csv.zst": "more than 1100 times as many bytes", "a window beyond the bound.zst": "window size exceeded",
	"lines of names.jsonl": "the fields of the lines up to 101, of those that were looked at, are more than 100000",
}

// A table that costs its reader more than it is worth is read within bounds, in memory and time,
// or refused by its name.
func TestHostileTablesTakeBoundedMemory(t *testing.T) {
	for name, body := range hostileTables(t) {
		bucket := storememory.New()
		format := `{"type":"csv"}`
		if strings.Contains(name, ".jsonl") {
			format = `{"type":"jsonl"}`
		}
		from := tableSource(t, bucket, name, string(body), format)
		rejected := 0
		from.Reject = func(pipeline.BadRow) { rejected++ }
		watch := time.AfterFunc(time.Minute, func() { panic("no end: " + name) })
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began, rows := time.Now(), int64(0)
		m, _, err := from.Discover(t.Context())
		for shard := 0; err == nil && shard < len(m.Shards); shard++ {
			err = from.eachBatch(t.Context(), m, shard, texty("x", "y", "z"), dataset.ReaderConfig{}, func(batch arrow.Record) error {
				rows += batch.NumRows()
				return nil
			})
		}
		runtime.ReadMemStats(&after)
		watch.Stop()
		n := after.TotalAlloc - before.TotalAlloc
		t.Logf("%-32s %9d bytes, %4d MiB allocated, %5d ms, %d rows, %d rejected, %.200v", name, len(body), n>>20, time.Since(began).Milliseconds(), rows, rejected, err)
		if n > fileBytes {
			t.Errorf("%s: %d bytes are allocated for a file of %d", name, n, len(body))
		}
		if says := refused[name]; says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %s", name, err, says)
		}
		if err != nil && (!strings.Contains(err.Error(), name) || thalweg.KindOf(err) == thalweg.Other || len(err.Error()) > 2000) {
			t.Errorf("%s: kind %v: %.300v", name, thalweg.KindOf(err), err)
		}
	}
}
