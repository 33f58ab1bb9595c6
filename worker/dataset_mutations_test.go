package worker

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

// dialect is CSV in one of its forms.
type dialect struct {
	delimiter, quote byte // quote 0: none
	escape, comment  byte // 0: quotes are doubled; no comments
	null, encoding   string
	header           bool
}

func randomDialect(r *rand.Rand) dialect {
	d := dialect{delimiter: ",,,;\t|\x1f"[r.IntN(7)], quote: "\"\"\"'\x00"[r.IntN(5)], comment: "\x00\x00#"[r.IntN(3)], header: r.IntN(3) == 0,
		null: []string{"", "NA", "\\N"}[r.IntN(3)], encoding: []string{"utf-8", "utf-8", "utf-8", "windows-1252", "windows-1252", "utf-16le"}[r.IntN(6)]}
	if d.quote != 0 && r.IntN(4) == 0 {
		d.escape = '\\'
	}
	return d
}

func (d dialect) format() string {
	quote := "none"
	if d.quote != 0 {
		quote = string(d.quote)
	}
	f := map[string]any{"type": "csv", "delimiter": string(d.delimiter), "quote": quote, "null_text": d.null, "encoding": d.encoding, "header": d.header}
	if d.escape != 0 {
		f["escape"] = string(d.escape)
	}
	if d.comment != 0 {
		f["comment"] = string(d.comment)
	}
	if !d.header {
		f["columns"] = []string{"x", "y", "z"}
	}
	text, _ := json.Marshal(f)
	return string(text)
}

// field writes a value as this dialect has it.
func (d dialect) field(r *rand.Rand, value string) string {
	special := strings.ContainsAny(value, string([]byte{d.delimiter, '\n', '\r', '"', '\''}))
	if d.quote == 0 || !special && r.IntN(3) > 0 {
		return value
	}
	q := string(d.quote)
	if d.escape == 0 {
		return q + strings.ReplaceAll(value, q, q+q) + q
	}
	return q + strings.NewReplacer(`\`, `\\`, q, `\`+q).Replace(value) + q
}

// mutated returns a table whose values say which column they are of, and what became of it:
// quotes moved, delimiters doubled, line ends mixed, bytes flipped, lines lost or cut.
func (d dialect) mutated(r *rand.Rand) []byte {
	var lines []string
	for range 1 + r.IntN(12) {
		if d.comment != 0 && r.IntN(6) == 0 {
			lines = append(lines, string(d.comment)+" \"no\","+string(d.quote)+"row\n")
		}
		var fields []string
		for _, column := range "xyz" {
			tail := []string{"", "1", "é", ",;", "\n", "\r\n2", `"`, `'q'`, `\`, " ", "#", "€"}[r.IntN(12)]
			if d.quote == 0 {
				tail = []string{"", "1", "é", `"`, `'q'`, `\`, " "}[r.IntN(7)]
			}
			value := string(column) + tail
			switch r.IntN(10) {
			case 0:
				fields = append(fields, d.null)
			case 1:
				fields = append(fields, d.field(r, ""))
			default:
				fields = append(fields, d.field(r, value))
			}
		}
		lines = append(lines, strings.Join(fields, string(d.delimiter))+[]string{"\n", "\n", "\r\n", "\n\n", "\n\r\n"}[r.IntN(5)])
	}
	text := []byte(strings.Join(lines, ""))
	bytes := []byte{d.delimiter, d.delimiter, '\n', '\r', ' ', 'q', '\\', '#', 0x80, '"', '\''}
	if d.quote != 0 {
		bytes = append(bytes, d.quote, d.quote, d.quote)
	}
	for range r.IntN(5) {
		if len(text) == 0 {
			break
		}
		at := r.IntN(len(text))
		switch r.IntN(8) {
		case 0:
			text = slices.Delete(text, at, at+1)
		case 1:
			text = slices.Insert(text, at, bytes[r.IntN(len(bytes))])
		case 2:
			text[at] = bytes[r.IntN(len(bytes))]
		case 3:
			text[at] ^= 1 << r.IntN(8)
		case 4: // a quote moves
			if q := slices.Index(text, d.quote); q >= 0 {
				text = slices.Insert(slices.Delete(text, q, q+1), min(at, len(text)-1), d.quote)
			}
		case 5: // a delimiter is doubled
			if i := slices.Index(text[at:], d.delimiter); i >= 0 {
				text = slices.Insert(text, at+i, d.delimiter)
			}
		case 6: // a line is lost, with its end or without
			if i := slices.Index(text[at:], '\n'); i >= 0 {
				text = slices.Delete(text, at, at+i+r.IntN(2))
			}
		default:
			if r.IntN(3) == 0 {
				text = text[:at]
			}
		}
	}
	return text
}

// strictRow is a record as a strict reader has it: its fields, or that it is none.
type strictRow struct {
	line   int64
	fields []any
	bad    bool
}

// strictRows is the strict reader: byte after byte, with no word on speed. A record ends with
// a line end outside of quotes; quotes open a field only, and what stands behind those that
// close, or a quote within a text, makes the record bad.
func (d dialect) strictRows(text string) (rows []strictRow) {
	line := int64(1)
	for p := 0; p < len(text); {
		begin, row := line, strictRow{line: line}
		next := func() (b byte) {
			if b = text[p]; b == '\n' {
				line++
			}
			p++
			return b
		}
		if d.comment != 0 && text[p] == d.comment || text[p] == '\n' || strings.HasPrefix(text[p:], "\r\n") || text[p:] == "\r" {
			for p < len(text) && next() != '\n' {
			}
			continue
		}
		for end := false; !end; {
			value, quoted := "", d.quote != 0 && p < len(text) && text[p] == d.quote
			if quoted {
				open := true
				for next(); p < len(text) && open; {
					switch b := next(); {
					case d.escape != 0 && b == d.escape:
						if p == len(text) || text[p] != d.quote && text[p] != d.escape {
							row.bad = true
						}
						if p < len(text) {
							value += string([]byte{next()})
						}
					case b == d.quote && d.escape == 0 && p < len(text) && text[p] == d.quote:
						value += string([]byte{next()})
					case b == d.quote:
						open = false
					default:
						value += string([]byte{b})
					}
				}
				row.bad = row.bad || open
			}
			rest := ""
			for end = true; p < len(text); {
				b := next()
				if b == d.delimiter {
					end = false
					break
				}
				if rest += string([]byte{b}); b == '\n' {
					break
				}
			}
			if end {
				rest = strings.TrimSuffix(strings.TrimSuffix(rest, "\n"), "\r")
			}
			switch {
			case quoted:
				row.bad = row.bad || rest != ""
			case d.quote != 0 && strings.IndexByte(rest, d.quote) >= 0:
				row.bad = true
			default:
				value = rest
			}
			if row.fields = append(row.fields, value); !quoted && value == d.null {
				row.fields[len(row.fields)-1] = nil
			}
			row.bad = row.bad || !utf8.ValidString(value) || d.encoding != "utf-8" && strings.ContainsRune(value, utf8.RuneError)
		}
		row.line, row.bad = begin, row.bad || len(row.fields) != 3
		rows = append(rows, row)
	}
	return rows
}

// maxMutationTime and maxMutationBytes are what reading a damaged file of some kilobytes may take.
const (
	maxMutationTime  = 10 * time.Second
	maxMutationBytes = 64 << 20
)

// Whatever happened to a table, its rows are those of a strict reader, which also says by line
// what is none: no value is lost without a word or comes under another's column. It is the
// same however the object is cut into shards.
func TestMutatedTablesAreReadAsAStrictReaderReadsThem(t *testing.T) {
	bucket, columns := storememory.New(), texty("x", "y", "z")
	good, refused, seeds := 0, 0, int(effort.Seeds(1_500, 60_000))
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 11))
		d := randomDialect(r)
		body := d.mutated(r)
		text := string(body)
		switch d.encoding {
		case "windows-1252":
			decoded := make([]rune, len(body))
			for i, b := range body {
				decoded[i] = charmap.Windows1252.DecodeByte(b)
			}
			text = string(decoded)
		case "utf-16le":
			text = strings.ToValidUTF8(text, "?")
			encoded, err := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String(text)
			if err != nil {
				t.Fatal(err)
			}
			body = []byte(encoded)
		}
		if d.header {
			head := fmt.Sprintf("x%cy%cz\n", d.delimiter, d.delimiter)
			text = head + text
			if d.encoding == "utf-16le" {
				head, _ = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String(head)
			}
			body = slices.Concat([]byte(head), body)
		}
		var want [][]any
		var lines []int64
		for i, row := range d.strictRows(text) {
			switch {
			case i == 0 && d.header:
			case row.bad:
				lines = append(lines, row.line)
			default:
				want = append(want, row.fields)
			}
		}
		from := tableSource(t, bucket, "a.csv", string(body), d.format())
		var bad []int64
		watch := time.AfterFunc(maxMutationTime, func() { panic(fmt.Sprintf("no end of seed %d", seed)) })
		var before, after runtime.MemStats
		if seed%16 == 0 { // it stops the world
			runtime.ReadMemStats(&before)
		}
		for _, shardRows := range []int64{0, 1} {
			m, err := dataset.DiscoverText(t.Context(), bucket, "a.csv", csvText(from.Options).records, dataset.DiscoverConfig{ShardRows: shardRows})
			if err != nil {
				if why := err.Error(); len(want)+len(lines) > 0 && !strings.Contains(why, "carriage returns alone") && !strings.Contains(why, "UTF-16") {
					t.Fatalf("seed %d, %+v, %q: %v", seed, d, text, err)
				}
				refused++
				break
			}
			bad = nil
			reject := from
			reject.Reject = func(row pipeline.BadRow) {
				if bad = append(bad, row.Line); row.Reason == "" {
					t.Errorf("seed %d: no reason in line %d", seed, row.Line)
				}
			}
			rows := rowsOf(t, reject, m, columns)
			if !slices.Equal(bad, lines) || len(rows) != len(want) || len(rows) > 0 && !reflect.DeepEqual(rows, want) {
				t.Fatalf("seed %d, %+v, %q, shards of %d rows:\n got %q, bad lines %v\nwant %q, bad lines %v", seed, d, text, shardRows, rows, bad, want, lines)
			}
		}
		watch.Stop()
		if seed%16 == 0 {
			runtime.ReadMemStats(&after)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > maxMutationBytes {
			t.Errorf("seed %d: %d bytes are allocated for a table of %d", seed, n, len(body))
		}
		good += len(want)
	}
	if good < 3*seeds || refused > seeds/10 {
		t.Errorf("%d rows are good and %d tables refused: too few are read", good, refused)
	}
}

// damagedObject returns an object of JSON on one line, damaged in one to four places.
func damagedObject(r *rand.Rand, line string) string {
	text := []byte(line)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(text) + 1)
		switch r.IntN(7) {
		case 0:
			text = slices.Insert(text, at, []byte([]string{`"`, `\`, "{", "}", "[", "]", ",", ":", "\x00", "\x80", "null", "1e999", `\ud800`, " "}[r.IntN(14)])...)
		case 1:
			text = slices.Insert(text, at, slices.Repeat([]byte("["), 1+r.IntN(20_000))...)
		case 2:
			text = slices.Insert(text, at, slices.Repeat([]byte("9"), 1+r.IntN(5_000))...)
		case 3:
			text = slices.Delete(text, at, min(at+1+r.IntN(8), len(text)))
		case 4:
			text = text[:at]
		case 5:
			text = slices.Insert(text, at, text[r.IntN(len(text)+1):]...)
		default:
			if at < len(text) {
				text[at] ^= 1 << r.IntN(8)
			}
		}
	}
	return strings.ReplaceAll(string(text), "\n", " ")
}

// Whatever happened to a line of a file of JSON, the others are read as they are, and it is a row
// or one that is rejected by its number, in bounded time and memory.
func TestMutatedLinesOfJSONDoNotTouchOthers(t *testing.T) {
	bucket, columns := storememory.New(), texty("x", "y", "z")
	columns.Columns[1].Type = table.Float64
	seeds, rejected := effort.Seeds(1_000, 20_000), uint64(0)
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 12))
		var lines []string
		var want [][]any
		for i := range 1 + r.IntN(6) {
			lines = append(lines, fmt.Sprintf(`{"x":"x%d","y":%d.5,"z":null,"other":{"a":[1,2,{"b":"é"}]}}`, i, i))
			want = append(want, []any{fmt.Sprintf("x%d", i), float64(i) + 0.5, nil})
		}
		hurt := r.IntN(len(lines))
		lines[hurt] = damagedObject(r, lines[hurt])
		watch := time.AfterFunc(maxMutationTime, func() { panic(fmt.Sprintf("no end of seed %d", seed)) })
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		from := tableSource(t, bucket, "a.jsonl", strings.Join(lines, "\n")+"\n", `{"type":"jsonl"}`)
		m, err := dataset.DiscoverText(t.Context(), bucket, "a.jsonl", jsonlText(from.Options).records, dataset.DiscoverConfig{ShardRows: int64(r.IntN(3))})
		if err != nil {
			if len(lines) > 1 || !strings.Contains(err.Error(), "a.jsonl") {
				t.Fatalf("seed %d: %v", seed, err)
			}
			watch.Stop()
			continue
		}
		var bad []int64
		from.Reject = func(row pipeline.BadRow) { bad = append(bad, row.Line) }
		rows := rowsOf(t, from, m, columns)
		runtime.ReadMemStats(&after)
		watch.Stop()
		if n := after.TotalAlloc - before.TotalAlloc; n > maxMutationBytes {
			t.Errorf("seed %d: %d bytes are allocated", seed, n)
		}
		if strings.TrimSpace(lines[hurt]) == "" || len(bad) > 0 {
			want = slices.Delete(want, hurt, hurt+1)
		} else if len(rows) == len(want) {
			want[hurt] = rows[hurt]
		}
		if rejected += uint64(len(bad)); len(bad) > 1 || len(bad) == 1 && bad[0] != int64(hurt)+1 || len(rows) != len(want) || len(rows) > 0 && !reflect.DeepEqual(rows, want) {
			t.Fatalf("seed %d, line %d: %.300q\n got %v, bad lines %v\nwant %v", seed, hurt+1, lines[hurt], rows, bad, want)
		}
	}
	if rejected < seeds/4 {
		t.Errorf("only %d of %d are rejected: the damage reaches nothing", rejected, seeds)
	}
}
