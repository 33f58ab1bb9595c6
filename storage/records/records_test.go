package records

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/thalweg/thalweg"
)

var table = Format{Quote: '"', Delimiter: ','}

// found is a record and its place.
type found struct {
	text, bad string
	at        Place
}

// read returns all records of an object, at most so many a run.
func read(t testing.TB, key string, from io.Reader, size int, f Format, at Place, most int) (all []found, err error) {
	t.Helper()
	r, err := Open(key, int64(size), from, f, at)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var run Run
	for {
		err := r.Next(&run, most)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		for i := range run.Len() {
			all = append(all, found{string(run.Record(i)), run.Bad[i], run.Places[i]})
		}
	}
}

func readAll(t testing.TB, text string, f Format) []found {
	t.Helper()
	all, err := read(t, "x.csv", strings.NewReader(text), len(text), f, Place{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rows are records as encoding/csv sees them, "|" between fields; bad where it fails.
func rows(t testing.TB, text string, f Format) (all []string) {
	for _, r := range readAll(t, text, f) {
		c := csv.NewReader(strings.NewReader(r.text))
		c.FieldsPerRecord, c.Comma = -1, rune(f.Delimiter)
		fields, err := c.Read()
		if _, more := c.Read(); r.bad != "" || err != nil || more != io.EOF {
			fields = []string{"bad"}
		}
		all = append(all, strings.Join(fields, "|"))
	}
	return all
}

func TestRecordsEndWhereAStrictReaderEndsThem(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "a,b\nc,d\n", []string{"a|b", "c|d"}},
		{"no line end at the end", "a,b\nc,d", []string{"a|b", "c|d"}},
		{"carriage returns", "a,b\r\nc,d\r\n", []string{"a|b", "c|d"}},
		{"byte order mark", "\xef\xbb\xbfa,b\n", []string{"a|b"}},
		{"empty lines", "\na,b\n\n\r\nc,d\n\n", []string{"a|b", "c|d"}},
		{"line ends in quotes", "a,\"b\nb\"\n\"c\nc\",d\n", []string{"a|b\nb", "c\nc|d"}},
		{"doubled quotes", "a,\"b\"\"\n\"\"b\"\nc,d\n", []string{"a|b\"\n\"b", "c|d"}},
		{"empty in quotes", "\"\",\"\"\nc,d\n", []string{"|", "c|d"}},
		{"a quote in a text costs its line", "a\"b,c\nd,e\"\nf,g\n", []string{"bad", "bad", "f|g"}},
		{"text behind a quote", "a,\"b\"x\nc,d\n", []string{"bad", "c|d"}},
		{"a quote that is not closed takes the rest", "a,b\nc,\"d\ne,f\n", []string{"a|b", "bad"}},
		{"only quotes", "\"", []string{"bad"}},
	} {
		if got := rows(t, c.text, table); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDialects(t *testing.T) {
	count := func(text string, f Format) (texts []string) {
		for _, r := range readAll(t, text, f) {
			texts = append(texts, strings.TrimRight(r.text, "\r\n"))
		}
		return texts
	}
	for _, c := range []struct {
		name, text string
		f          Format
		want       []string
	}{
		{"comments", "#x\na,b\n # no\n#\"\n\"#\n\",d", Format{Quote: '"', Delimiter: ',', Comment: '#'}, []string{"a,b", " # no", "\"#\n\",d"}},
		{"no quotes", "a,\"b\nc,d\"\n", Format{Delimiter: ','}, []string{"a,\"b", "c,d\""}},
		{"other quotes", "a,'b\n''\"'\nc,d\n", Format{Quote: '\'', Delimiter: ','}, []string{"a,'b\n''\"'", "c,d"}},
		{"escapes", "a,\"b\\\"\nb\\\\\"\nc,\"\\\\\\\"\n\"\nd", Format{Quote: '"', Delimiter: ',', Escape: '\\'}, []string{"a,\"b\\\"\nb\\\\\"", "c,\"\\\\\\\"\n\"", "d"}},
		{"lines", "{}\n  \n\t\r\n{\"a\":1}", Format{}, []string{"{}", "{\"a\":1}"}},
	} {
		if got := count(c.text, c.f); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// garbled returns a text of CSV with mutations that a seed decides.
func garbled(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 7))
	var b strings.Builder
	for range r.IntN(30) + 1 {
		for i := range 3 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString([]string{"a", "12", "", `"q"`, "\"l\nm\"", `"d""d"`, "\"\r\n\"", "é", `"a,b"`}[r.IntN(9)])
		}
		b.WriteString([]string{"\n", "\r\n", "\n\n"}[r.IntN(3)])
	}
	text := []byte(b.String())
	for range r.IntN(4) {
		at := r.IntN(len(text))
		switch r.IntN(3) {
		case 0:
			text = slices.Delete(text, at, at+1)
		case 1:
			text = slices.Insert(text, at, "\",\n\rx"[r.IntN(5)])
		default:
			text[at] = "\",\n\rx"[r.IntN(5)]
		}
		if len(text) == 0 {
			return ""
		}
	}
	return string(text)
}

func TestGarbledTablesHaveNoRowThatIsNone(t *testing.T) {
	for seed := range uint64(5_000) {
		text := garbled(seed)
		var want []string
		c := csv.NewReader(strings.NewReader(text))
		c.FieldsPerRecord = -1
		for {
			fields, err := c.Read()
			if err != nil {
				break // from here on it gives up; what came before are rows
			}
			want = append(want, strings.Join(fields, "|"))
		}
		got := rows(t, text, table)
		if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
			t.Fatalf("seed %d, %q: got %q, want %q first", seed, text, got, want)
		}
	}
}

func TestReadingDoesNotDependOnHowBytesCome(t *testing.T) {
	for seed := range uint64(150) {
		text := garbled(seed)
		for _, f := range []Format{table, {Delimiter: ','}, {Quote: '"', Delimiter: ',', Escape: '\\', Comment: 'x'}} {
			want := readAll(t, text, f)
			for _, one := range []io.Reader{iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
				if got, err := read(t, "x", one, len(text), f, Place{}, 1+int(seed%3)); err != nil || !slices.Equal(got, want) {
					t.Fatalf("seed %d: %v, %v, want %v", seed, got, err, want)
				}
			}
			for i, r := range want { // from each record on
				if i == 0 && r.at.Offset == 0 {
					continue
				}
				if got, err := read(t, "x", strings.NewReader(text[r.at.Offset:]), len(text), f, r.at, 1000); err != nil || !slices.Equal(got, want[i:]) {
					t.Fatalf("seed %d from %v: %v, %v, want %v", seed, r.at, got, err, want[i:])
				}
				if before := text[:r.at.Offset]; int64(strings.Count(before, "\n"))+1 != r.at.Line {
					t.Fatalf("seed %d: record %d is in line %d, not %d", seed, i, strings.Count(before, "\n")+1, r.at.Line)
				}
			}
		}
	}
}

func TestEncodings(t *testing.T) {
	const text = "Ort,Größe\nKöln,\"5\n€\"\n"
	encode := func(e interface{ String(string) (string, error) }) string {
		s, err := e.String(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, bytes := range map[string]string{
		"utf-8":        text,
		"windows-1252": encode(charmap.Windows1252.NewEncoder()),
		"utf-16":       encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder()),
		"utf-16le":     encode(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder()),
		"utf-16be":     encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder()),
	} {
		f := table
		f.Encoding = name
		var got string
		for _, r := range readAll(t, bytes, f) {
			got += r.text + r.bad
		}
		if got != text {
			t.Errorf("%s: got %q, want %q", name, got, text)
		}
	}
	f := table
	f.Encoding = "windows-1252"
	if got := readAll(t, "a,\x81\nb,\xe9\n", f); len(got) != 2 || got[0].bad == "" || got[1] != (found{"b,é\n", "", Place{2, 4}}) {
		t.Errorf("a byte that windows-1252 has not: %v", got)
	}
	f.Encoding = "utf-16le"
	if got := readAll(t, "a\x00\n\x00\x00\xd8\n\x00b", f); len(got) != 3 || got[0].bad != "" || got[1].bad == "" || got[2].bad == "" {
		t.Errorf("half a pair, half a character: %v", got)
	}
	f.Encoding = "UTF8" // which IANA has not
	if err := f.Validate(); err != nil || !f.Seekable("a.csv") {
		t.Error(err)
	}
	f.Encoding = "latin-9000"
	if _, err := Open("x", 1, strings.NewReader("x"), f, Place{}); !thalweg.Is(err, thalweg.Unsupported) {
		t.Errorf("an encoding that is none: %v", err)
	}
	for text, want := range map[string]string{"a\x00\n\x00": "utf-16le", "\x00a\x00\n": "utf-16be"} {
		if _, err := Open("x.csv", 4, strings.NewReader(text), table, Place{}); !strings.HasSuffix(fmt.Sprint(err), "encoding: "+want+")") {
			t.Errorf("%s without a mark: %v", want, err)
		}
	}
	if _, err := Open("x.csv", 4, strings.NewReader("\xff\xfea\x00"), table, Place{}); !strings.Contains(fmt.Sprint(err), "encoding: utf-16") {
		t.Errorf("UTF-16 that is not said to be: %v", err)
	}
}

func zip(t testing.TB, texts ...string) string {
	var out bytes.Buffer
	for _, text := range texts {
		w := gzip.NewWriter(&out)
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	return out.String()
}

func zstds(t testing.TB, texts ...string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, text := range texts {
		out = w.EncodeAll([]byte(text), out)
	}
	return string(out)
}

func TestCompressedTexts(t *testing.T) {
	for key, object := range map[string]string{
		"a.csv.gz": zip(t, "a,b\n", "c,d"), "a.csv.zst": zstds(t, "a,b\n", "c,d"), "A.CSV.GZ": zip(t, "a,b\nc,d"),
	} {
		got, err := read(t, key, strings.NewReader(object), len(object), table, Place{}, 10)
		if want := []found{{"a,b\n", "", Place{1, 0}}, {"c,d", "", Place{2, 4}}}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v %v", key, got, err)
		}
		if got, err = read(t, key, strings.NewReader(object), len(object), table, Place{2, 4}, 10); err != nil || len(got) != 1 || got[0].text != "c,d" {
			t.Errorf("%s from its second line: %v %v", key, got, err)
		}
		if got, err = read(t, key, strings.NewReader(object[:len(object)-3]), len(object), table, Place{}, 10); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s cut short: %v %v", key, got, err)
		}
		if _, err := Open("a.csv.gz", 4, strings.NewReader("a,b\nc,d\n1,2\n"), table, Place{}); !strings.Contains(fmt.Sprint(err), "not compressed with gzip") {
			t.Errorf("a text of such a name: %v", err)
		}
		if _, err := Open("a.csv", int64(len(object)), strings.NewReader(object), table, Place{}); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%s by another name: %v", key, err)
		}
	}
}

func TestACompressedTextIsBounded(t *testing.T) {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := w.EncodeAll(make([]byte, 100<<20), nil)
	_, err = read(t, "a.zst", bytes.NewReader(bomb), len(bomb), Format{}, Place{}, 10)
	if !thalweg.Is(err, thalweg.Exhausted) {
		t.Errorf("%d bytes of 100 MiB: %v", len(bomb), err)
	}
}

func TestARecordThatIsTooLargeIsOneBadRow(t *testing.T) {
	large := strings.Repeat("x\\\n", (MaxBytes+3*runBytes)/3)
	for _, c := range []struct {
		text string
		f    Format
		want int
	}{
		{"a,b\n\"" + large + "\",c\nd,e\n", table, 3},
		{"a,b\n\"" + large + "\",c\nd,e\n", Format{Quote: '"', Delimiter: ',', Escape: '\\'}, 3},
		{"a,b\n\"" + strings.Repeat("\\", MaxBytes+3*runBytes) + "\\\",c\nd,e\n", Format{Quote: '"', Delimiter: ',', Escape: '\\'}, 2},
		{"a,b\n" + strings.ReplaceAll(large, "\n", "y") + "\nd,e", Format{}, 3},
	} {
		got, err := read(t, "x", strings.NewReader(c.text), len(c.text), c.f, Place{}, 1000)
		if err != nil || len(got) != c.want || got[0].text != "a,b\n" || got[1].bad == "" || len(got[1].text) > headBytes {
			t.Fatalf("%v: %d records, %v", c.f, len(got), err)
		}
		if last := got[len(got)-1]; c.want == 3 && (strings.TrimSpace(last.text) != "d,e" || last.at.Offset != int64(strings.LastIndex(c.text, "d,e"))) {
			t.Errorf("%v: then %v", c.f, last.at)
		}
	}
}

func TestAnErrorOfTheStoreKeepsItsKind(t *testing.T) {
	gone := &thalweg.Error{Op: "get", Kind: thalweg.Unavailable}
	for _, key := range []string{"a.csv", "a.csv.gz", "a.csv.zst"} {
		head := map[string]string{"a.csv": "a,b\n", "a.csv.gz": zip(t, "a,b\n")[:15], "a.csv.zst": zstds(t, strings.Repeat("a,b\n", 9))[:8]}[key]
		_, err := read(t, key, io.MultiReader(strings.NewReader(head), iotest.ErrReader(gone)), 100, table, Place{}, 10)
		if !errors.Is(err, error(gone)) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func FuzzRecords(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(garbled(seed), byte(seed))
	}
	f.Fuzz(func(t *testing.T, text string, kind byte) {
		format := []Format{table, {}, {Delimiter: ','}, {Quote: '"', Delimiter: ',', Escape: '\\', Comment: '#'}, {Quote: '"', Delimiter: ',', Encoding: "windows-1252"}}[kind%5]
		want, err := read(t, "x", strings.NewReader(text), len(text), format, Place{}, 1000)
		if err != nil {
			return
		}
		at := int64(-1)
		for _, r := range want {
			if r.at.Offset <= at {
				t.Fatalf("records at %d and then %d", at, r.at.Offset)
			}
			at = r.at.Offset
		}
		got, err := read(t, "x", iotest.OneByteReader(strings.NewReader(text)), len(text), format, Place{}, 2)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, by bytes %v, %v", want, got, err)
		}
	})
}

// A splitter finds the same ends however much of a text is there at a time.
func TestRecordsEndWhereTheyDoWhateverIsThere(t *testing.T) {
	formats := []Format{table, {Delimiter: ','}, {}, {Quote: '"', Delimiter: ',', Escape: '\\', Comment: 'x'}, {Quote: '"', Delimiter: ',', Comment: '"' + 1}, {Quote: '\'', Delimiter: '\t', Comment: '#'}}
	// ends returns where records end if so many bytes come at a time.
	ends := func(text string, f Format, step int) (all []int, lines []int64) {
		s := newSplitter(f)
		for start, there := 0, 0; ; {
			if start == len(text) {
				return all, lines
			}
			n := s.end([]byte(text[start:there]), there == len(text))
			if n > 0 {
				start += n
				all, lines = append(all, start), append(lines, s.lines)
				s.begin(n)
				there = max(there, start)
				continue
			}
			there = min(there+step, len(text))
		}
	}
	for seed := range uint64(3_000) {
		text := garbled(seed)
		if seed%3 == 0 {
			text = strings.NewReplacer("a", "\\", "1", "\\\"", "é", "x").Replace(text)
		}
		for _, f := range formats {
			want, lines := ends(text, f, len(text)+1)
			for _, step := range []int{1, 2, 3, 7} {
				if got, of := ends(text, f, step); !slices.Equal(got, want) || !slices.Equal(of, lines) {
					t.Fatalf("seed %d, %q by %d bytes, %+v: %v %v, want %v %v", seed, text, step, f, got, of, want, lines)
				}
			}
		}
	}
}
