package dataset_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/storage/dataset"
)

// maxAlloc is the bytes that reading a file of some kilobytes may allocate,
// whatever it claims to hold.
const maxAlloc = 96 << 20

// readHostile reads a file that may be damaged. What comes must be batches that
// are well-formed or an error that names the object; a panic caught on the way
// is a failure, since decoders are not to rely on that.
func readHostile(t testing.TB, data []byte) error {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := readToError(t, data, mem)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > maxAlloc {
		t.Errorf("%d bytes allocated for a file of %d", n, len(data))
	}
	if err == nil {
		return nil
	}
	if strings.Contains(err.Error(), "panicked") {
		t.Errorf("a decoder panicked: %v", err)
	}
	switch thalweg.KindOf(err) {
	case thalweg.Corrupt, thalweg.Invalid, thalweg.Unsupported, thalweg.Exhausted:
	default:
		t.Errorf("kind %v: %v", thalweg.KindOf(err), err)
	}
	if !strings.Contains(err.Error(), "hostile.parquet") {
		t.Errorf("the error does not name the object: %v", err)
	}
	return err
}

func readToError(t testing.TB, data []byte, mem memory.Allocator) error {
	// Long runs of nothing are legal and endless; so many batches are enough.
	const enough = 64
	r, err := dataset.OpenBytes("hostile.parquet", data, nil, dataset.ReaderConfig{BatchRows: 1000, Allocator: mem})
	if err != nil {
		return err
	}
	defer r.Close()
	for range enough {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range int(rec.NumCols()) {
			checkIndices(t, rec.Column(i))
			for _, row := range []int{0, int(rec.NumRows()) - 1} {
				_ = text(rec.Column(i), row)
			}
		}
		rec.Release()
	}
	return nil
}

// victims are small files of every writer.
func victims(t testing.TB) [][]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(77, 77))
	var files [][]byte
	for i, name := range []string{"none", "snappy", "zstd", "lz4raw", "gzip"} {
		data, _ := byParquetGo(t, rng, 12, 0.3, codecs[name], parquet.DataPageVersion(1+i%2), parquet.PageBufferSize(60), parquet.DictionaryMaxBytes(int64(i%2*30)))
		files = append(files, data)
	}
	rec := randomRecord(rng, writable, 100, 0.3)
	defer rec.Release()
	files = append(files, write(t, dataset.WriterConfig{Compression: dataset.Uncompressed, RowGroupRows: 60}, writable, rec),
		write(t, dataset.WriterConfig{Compression: dataset.Zstd}, writable, rec))
	for range 3 {
		files = append(files, listFile(t, rng))
	}
	names, err := filepath.Glob("testdata/*.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, data)
	}
	return files
}

// mutate damages a copy of data in one to three places.
func mutate(rng *rand.Rand, data []byte) []byte {
	out := slices.Clone(data)
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(out))
		if rng.IntN(3) == 0 {
			at = len(out) - 1 - rng.IntN(min(len(out), 2000)) // the footer
		}
		switch rng.IntN(8) {
		case 0:
			out[at] ^= 1 << rng.IntN(8)
		case 1:
			out[at] = byte(rng.Uint32())
		case 2:
			out[at] = []byte{0, 0xff, 0x7f, 0x80}[rng.IntN(4)]
		case 3: // a large number
			for i := at; i < min(at+1+rng.IntN(5), len(out)); i++ {
				out[i] = 0xff
			}
		case 4: // something from elsewhere
			from := rng.IntN(len(out))
			copy(out[at:], out[from:min(from+8, len(out))])
		case 5: // shifted
			out = slices.Delete(out, at, min(at+1+rng.IntN(4), len(out)))
		case 6:
			out = slices.Insert(out, at, byte(rng.Uint32()))
		case 7:
			if rng.IntN(10) == 0 {
				out = out[:at]
			} else {
				out[at]++
			}
		}
		if len(out) == 0 {
			return out
		}
	}
	return out
}

// maxMutationTime is how long reading one damaged file may take.
const maxMutationTime = 10 * time.Second

// Whatever happened to a Parquet file of any writer, its values are read or it is refused by
// name, in bounded time and memory. MUTATION plays the mutation of one seed again.
func TestMutatedParquetGivesErrorsOrValues(t *testing.T) {
	files := victims(t)
	first, seeds := uint64(0), effort.Seeds(2_000, 40_000)*uint64(*more)
	if text := os.Getenv("MUTATION"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, seeds = seed, 1
	}
	refused := uint64(0)
	for seed := first; seed < first+seeds; seed++ {
		rng := rand.New(rand.NewPCG(seed, 13))
		data := mutate(rng, files[rng.IntN(len(files))])
		replay := fmt.Sprintf("play it again by MUTATION=%d go test -run %s ./storage/dataset", seed, t.Name())
		watch := time.AfterFunc(maxMutationTime, func() { panic("no end: " + replay) })
		err := readHostile(t, data)
		watch.Stop()
		if err != nil {
			refused++
		}
		if t.Failed() {
			t.Fatal(replay)
		}
	}
	if seeds > 1 && refused < seeds/4 {
		t.Errorf("only %d of %d damaged files were refused: the damage does not reach anything", refused, seeds)
	}
}

func TestATruncatedFileIsAlwaysRefused(t *testing.T) {
	data := flights(t, 3, 50, 20)
	for n := range data {
		if readHostile(t, data[:n]) == nil {
			t.Fatalf("the first %d bytes of %d were read", n, len(data))
		}
	}
}

func TestEveryFlippedBitOfOurFilesIsNoticedOrHarmless(t *testing.T) {
	// Pages carry checksums, so values that are read must be those written.
	data := flights(t, 4, 16, 8)
	want := readAll(t, data, nil, 100)
	footer := len(data) - 8 - int(uint32(data[len(data)-8])|uint32(data[len(data)-7])<<8)
	for bit := range footer * 8 {
		damaged := slices.Clone(data)
		damaged[bit/8] ^= 1 << (bit % 8)
		if readHostile(t, damaged) != nil {
			continue
		}
		if got := readAll(t, damaged, nil, 100); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("bit %d of byte %d changes values without an error", bit%8, bit/8)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, data := range victims(f) {
		if len(data) < 6<<10 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { _ = readHostile(t, data) })
}
