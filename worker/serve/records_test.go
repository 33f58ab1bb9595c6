package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/table"
)

// stream writes record batches as a client does.
func stream(t testing.TB, batches ...arrow.Record) string {
	t.Helper()
	out := new(bytes.Buffer)
	w := ipc.NewWriter(out, ipc.WithSchema(batches[0].Schema()))
	for _, b := range batches {
		check(t, w.Write(b))
	}
	check(t, w.Close())
	return out.String()
}

// recordOf returns a batch of columns of texts, each of them in the form of its type as text,
// or null where it is "null".
func recordOf(t testing.TB, fields []arrow.Field, columns ...[]string) arrow.Record {
	t.Helper()
	var arrays []arrow.Array
	for i, f := range fields {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		for _, text := range columns[i] {
			switch b := b.(type) {
			case *array.BinaryDictionaryBuilder:
				if text == "null" {
					b.AppendNull()
				} else {
					check(t, b.AppendString(text))
				}
			default:
				if text == "null" {
					b.AppendNull()
				} else {
					check(t, b.AppendValueFromString(text))
				}
			}
		}
		arrays = append(arrays, b.NewArray())
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(len(columns[0])))
}

// answered reads a stream of answers: of each row the columns as JSON has them, or the error.
func answered(t testing.TB, body string) (all []map[string]any) {
	t.Helper()
	r, err := ipc.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %.400q", err, body)
	}
	for r.Next() {
		text, err := r.Record().MarshalJSON()
		check(t, err)
		var rows []map[string]any
		check(t, json.Unmarshal(text, &rows))
		for _, row := range rows {
			if row["error"] != nil {
				row = map[string]any{"error": row["error"]}
			} else {
				delete(row, "error")
			}
			all = append(all, row)
		}
	}
	check(t, r.Err())
	return all
}

// places are where in an event something stands, which rows of a record have not.
var places = regexp.MustCompile(` at byte \d+`)

// TestRecordsAnswerWhatTheStreamWrites: rows in columns of whatever type can hold them get the
// values of the same rows as events, and the same reasons.
func TestRecordsAnswerWhatTheStreamWrites(t *testing.T) {
	t.Parallel()
	text := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: arrow.BinaryTypes.String}
	for name, document := range map[string]string{"explained": explained,
		"classes": strings.Replace(artifacttest.Flights, `{name: delayed, type: binary, expression: "delay > 15"}`, `{name: delay, type: category}`, 1)} {
		a := artifacttest.TrainFlights(t, document, 3)
		s := serving(t, a, Limits{MaxBatch: 4})
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				types := []arrow.DataType{
					rapid.SampledFrom([]arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, text, arrow.FixedWidthTypes.Timestamp_s, arrow.FixedWidthTypes.Timestamp_ns, &arrow.TimestampType{Unit: arrow.Millisecond}}).Draw(rt, "date"),
					rapid.SampledFrom([]arrow.DataType{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float32}).Draw(rt, "distance"),
					rapid.SampledFrom([]arrow.DataType{arrow.BinaryTypes.String, text, arrow.Null}).Draw(rt, "origin"),
				}
				dates, distances, origins := []string{"2001-03-04 05:06:07", "1969-12-31 23:59:59", "null"}, []string{"7", "99999", "100001", "null"}, []string{"a1", "A2", "\"\\\n", "ü", "", "null"}
				if types[0].ID() != arrow.TIMESTAMP {
					dates = append(dates, "2001-03-04T05:06:07.5Z", "never", "")
				}
				switch types[1].ID() {
				case arrow.FLOAT64, arrow.FLOAT32:
					distances = append(distances, "7.5", "1e30", "-3")
				case arrow.UINT64:
					distances = append(distances, "9223372036854775808")
				default:
					distances = append(distances, "-3")
				}
				if types[2].ID() == arrow.NULL {
					origins = []string{"null"}
				} else {
					origins = append(origins, "\xff")
				}
				n := rapid.IntRange(1, 9).Draw(rt, "rows")
				columns := make([][]string, 3)
				var events []string
				for range n {
					cells := make([]string, 3)
					for k, from := range [][]string{dates, distances, origins} {
						cells[k] = rapid.SampledFrom(from).Draw(rt, "cell")
						columns[k] = append(columns[k], cells[k])
					}
					for _, k := range []int{0, 2} {
						if cells[k] != "null" {
							cells[k] = string(appendText(nil, []byte(cells[k])))
						}
					}
					if f, err := strconv.ParseFloat(cells[1], 32); err == nil && types[1].ID() == arrow.FLOAT32 {
						cells[1] = string(appendFloat(nil, f))
					}
					events = append(events, fmt.Sprintf(`{"date":%s,"distance":%s,"origin":%s}`, cells[0], cells[1], cells[2]))
				}
				rec := recordOf(t, []arrow.Field{{Name: "date", Type: types[0], Nullable: true}, {Name: "distance", Type: types[1], Nullable: true}, {Name: "origin", Type: types[2], Nullable: true}}, columns...)
				half := rapid.Int64Range(0, rec.NumRows()).Draw(rt, "half")
				status, body, header := ask(t, s, "POST", "/v1/score/flights", stream(t, rec.NewSlice(0, half), rec.NewSlice(half, rec.NumRows())), "Content-Type", arrowType)
				if status != 200 || header.Get("Content-Type") != arrowType {
					t.Fatalf("%d %s", status, body)
				}
				got, want := answered(t, body), streamed(t, a, events)
				if len(got) != n {
					t.Fatalf("%d answers to %d rows", len(got), n)
				}
				for i, w := range want {
					var scored map[string]any
					check(t, json.Unmarshal([]byte(places.ReplaceAllString(w, "")), &scored))
					if fmt.Sprint(got[i]) != fmt.Sprint(scored) {
						t.Errorf("%s of %v:\n%v, the stream\n%v", events[i], types, got[i], scored)
					}
				}
			})
		})
	}
}

func TestStreamsOfRecordsThatCannotBeAnsweredSayWhy(t *testing.T) {
	t.Parallel()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	texts := []arrow.Field{{Name: "date", Type: arrow.BinaryTypes.String}, {Name: "distance", Type: arrow.BinaryTypes.String}}
	good := stream(t, recordOf(t, []arrow.Field{{Name: "date", Type: arrow.BinaryTypes.String}, {Name: "extra", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true}},
		[]string{"2001-03-04 05:06:07"}, []string{"null"}))
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"nothing":              {"", 400, "read arrow stream"},
		"no stream":            {"PAR1PAR1", 400, "read arrow stream"},
		"cut short":            {good[:len(good)-100], 400, "read arrow stream"},
		"another type":         {stream(t, recordOf(t, texts, []string{"2001-03-04 05:06:07"}, []string{"7"})), 400, `column \"distance\": it is of type string, which has no values of int64`},
		"twice":                {stream(t, recordOf(t, []arrow.Field{texts[0], texts[0]}, []string{"x"}, []string{"y"})), 400, "twice"},
		"too many rows":        {stream(t, array.NewRecord(arrow.NewSchema([]arrow.Field{{Name: "date", Type: arrow.Null, Nullable: true}}, nil), []arrow.Array{array.NewNull(maxRecordRows + 1)}, maxRecordRows+1)), 413, "several requests"},
		"a column of no field": {good, 200, ""},
	} {
		if status, body, _ := ask(t, s, "POST", "/v1/score/flights", c.body, "Content-Type", arrowType); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %.300q, want %d %q", name, status, body, c.status, c.says)
		}
	}
	_, body, _ := ask(t, s, "POST", "/v1/score/flights", good, "Content-Type", arrowType)
	if rows := answered(t, body); len(rows) != 1 || rows[0]["probability"] == nil || math.IsNaN(rows[0]["probability"].(float64)) {
		t.Errorf("a flight: %v", rows)
	}
}

// TestWordsThatAreNullAreNone: a value whose word is null is null, as one whose index is.
func TestWordsThatAreNullAreNone(t *testing.T) {
	t.Parallel()
	a := artifacttest.TrainFlights(t, artifacttest.Flights, 1)
	s := serving(t, a, Limits{})
	texts := func(values ...string) arrow.Array {
		return recordOf(t, []arrow.Field{{Name: "w", Type: arrow.BinaryTypes.String, Nullable: true}}, values).Column(0)
	}
	index := recordOf(t, []arrow.Field{{Name: "i", Type: arrow.PrimitiveTypes.Int8, Nullable: true}}, []string{"0", "1", "null"}).Column(0)
	origins := array.NewDictionaryArray(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, index, texts("a1", "null"))
	const day = "2001-03-04 05:06:07"
	schema := arrow.NewSchema([]arrow.Field{{Name: "date", Type: arrow.BinaryTypes.String}, {Name: "origin", Type: origins.DataType(), Nullable: true}}, nil)
	status, body, _ := ask(t, s, "POST", "/v1/score/flights", stream(t, array.NewRecord(schema, []arrow.Array{texts(day, day, day), origins}, 3)), "Content-Type", arrowType)
	if status != 200 {
		t.Fatal(body)
	}
	got := answered(t, body)
	for i, w := range streamed(t, a, []string{`{"date":"` + day + `","origin":"a1"}`, `{"date":"` + day + `","origin":null}`, `{"date":"` + day + `"}`}) {
		var want map[string]any
		check(t, json.Unmarshal([]byte(w), &want))
		if fmt.Sprint(got[i]) != fmt.Sprint(want) {
			t.Errorf("row %d: %v, the stream %v", i, got[i], want)
		}
	}
}

// FuzzRecords: bytes of a client are answered, or refused as its own mistake.
func FuzzRecords(f *testing.F) {
	s := serving(f, artifacttest.TrainFlights(f, artifacttest.Flights, 1), Limits{})
	f.Add([]byte(stream(f, recordOf(f, []arrow.Field{{Name: "date", Type: arrow.BinaryTypes.String}, {Name: "distance", Type: arrow.PrimitiveTypes.Int16}}, []string{"2001-03-04 05:06:07"}, []string{"7"}))))
	f.Add([]byte(stream(f, recordOf(f, []arrow.Field{{Name: "origin", Type: table.String.ArrowType(), Nullable: true}}, []string{"A1", "null"}))))
	f.Add([]byte(stream(f, recordOf(f, []arrow.Field{{Name: "distance", Type: arrow.LargeListOf(arrow.Null), Nullable: true}, {Name: "origin", Type: arrow.FixedSizeListOf(1, arrow.PrimitiveTypes.Int64), Nullable: true}}, []string{"[null]"}, []string{"[1]"}))))
	f.Fuzz(func(t *testing.T, body []byte) {
		if status, said, _ := ask(t, s, "POST", "/v1/score/flights", string(body), "Content-Type", arrowType); status != 200 && status != 400 && status != 413 {
			t.Fatalf("%q: %d %s", body, status, said)
		}
	})
}

// TestDamagedStreamsOfRecordsAreAnsweredOrRefused, whichever bytes are others: EFFORT=full tries
// 200,000.
func TestDamagedStreamsOfRecordsAreAnsweredOrRefused(t *testing.T) {
	t.Parallel()
	s := serving(t, artifacttest.TrainFlights(t, artifacttest.Flights, 1), Limits{})
	fields := []arrow.Field{{Name: "date", Type: arrow.BinaryTypes.String}, {Name: "distance", Type: arrow.PrimitiveTypes.Int16, Nullable: true}, {Name: "origin", Type: table.String.ArrowType(), Nullable: true}}
	good := stream(t, recordOf(t, fields, []string{"2001-03-04 05:06:07", "2001-03-04", "x"}, []string{"7", "null", "9"}, []string{"A1", "null", "A1"}))
	for seed := range effort.Seeds(2_000, 200_000) {
		random := rand.New(rand.NewPCG(seed, 7))
		body := []byte(good)
		for range 1 + random.IntN(4) {
			if at := random.IntN(len(body)); random.IntN(2) == 0 {
				body[at] ^= 1 << random.IntN(8)
			} else {
				body[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[random.IntN(5)]
			}
		}
		if status, said, _ := ask(t, s, "POST", "/v1/score/flights", string(body), "Content-Type", arrowType); status != 200 && status != 400 && status != 413 {
			t.Fatalf("seed %d: %d %s", seed, status, said)
		}
	}
}
