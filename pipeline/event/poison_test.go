package event

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"github.com/thalweg/thalweg/pipeline/table"
)

// ways are the formats with a good event of each, the same row.
func ways(t testing.TB) map[string]struct {
	cfg  Config
	good string
} {
	schema := avro.MustParse(flightsAvroPlain)
	at := time.Date(2001, 1, 13, 13, 56, 0, 0, time.UTC)
	b, err := schema.Encode(map[string]any{"date": at, "delay": int64(-3), "distance": 337.5, "origin": "SFO", "cancelled": false, "gate": "B12"})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		cfg  Config
		good string
	}{
		"json":  {Config{}, `{"gate":"B12","date":"2001-01-13 13:56:00","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`},
		"csv":   {Config{Format: &CSVFormat{Columns: []string{"date", "delay", "distance", "origin", "cancelled", "gate"}}}, `2001-01-13 13:56:00,-3,337.5,SFO,false,B12`},
		"avro":  {plainAvro(flightsAvroPlain), string(b)},
		"avro7": {registryOf(map[uint32]string{7: flightsAvroPlain}), wire(7, string(b))},
	}
}

const goodRow = `{"date":"2001-01-13T13:56:00Z","delay":-3,"distance":337.5,"origin":"SFO","cancelled":false}`

// poison are events of each format that hurt decoders, and a part of the reason
// why each is rejected; "" if it is a row.
func poison(t testing.TB) map[string]map[string]string {
	w := ways(t)
	jsonWith := func(field, value string) string {
		head, rest, _ := strings.Cut(w["json"].good, `"`+field+`":`)
		_, tail, _ := strings.Cut(rest, ",")
		if field == "cancelled" {
			return head + `"` + field + `":` + value + "}"
		}
		return head + `"` + field + `":` + value + "," + tail
	}
	csvWith := func(position int, value string) string {
		cells := strings.Split(w["csv"].good, ",")
		cells[position] = value
		return strings.Join(cells, ",")
	}
	long := func(v int64) string { return string(binary.AppendVarint(nil, v)) }
	double := func(v float64) string { return string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))) }
	record := func(date, delay, distance, origin, cancelled string) string {
		return date + delay + distance + origin + cancelled + "\x02\x06B12"
	}
	const deep = 100_000
	date, delay, distance, origin, cancelled := long(979394160000000), "\x02\x05", "\x02"+double(337.5), "\x06SFO", "\x02\x00"
	out := map[string]map[string]string{
		"json": {
			w["json"].good:                     "",
			jsonWith("origin", "\"\xff\xfe\""): "not UTF-8",
			jsonWith("origin", `"\ud800"`):     "half a surrogate pair",
			jsonWith("gate", strings.Repeat("[", deep)+strings.Repeat("]", deep)):          "nested deeper than 64 levels",
			jsonWith("delay", strings.Repeat(`{"a":`, deep)+"1"+strings.Repeat("}", deep)): "nested deeper than 64 levels",
			strings.Repeat("[", deep):                                   "malformed JSON",
			jsonWith("distance", "NaN"):                                 "malformed JSON",
			jsonWith("distance", "Infinity"):                            "malformed JSON",
			jsonWith("distance", "1e999"):                               "out of range",
			jsonWith("delay", "1e99999999999999999999"):                 "out of range",
			jsonWith("delay", "1e-99999999999999999999"):                "fraction",
			jsonWith("delay", "9223372036854775808"):                    "out of range",
			jsonWith("delay", strings.Repeat("9", 1<<19)):               "out of range",
			jsonWith("distance", "0."+strings.Repeat("0", 1<<19)+"1e9"): "",
			jsonWith("delay", `"3"`):                                    "found string",
			jsonWith("delay", `{}`):                                     "found object",
			jsonWith("origin", `7`):                                     "found number",
			jsonWith("cancelled", `1`):                                  "found number",
			jsonWith("date", `[]`):                                      "found array",
			jsonWith("date", "null"):                                    "not nullable",
			jsonWith("delay", `3,"delay":"x"`):                          "appears twice",
			jsonWith("delay", `"x","delay":-3`):                         "appears twice",
			jsonWith("delay", `-3,"delay":-3`):                          "appears twice",
			jsonWith("gate", `1,"gate":2`):                              "", // no column
			jsonWith("gate", `"`+strings.Repeat("x", 10<<20)+`"`):       "bytes, the bound is",
			"":                              "malformed JSON",
			"null":                          "malformed JSON",
			w["json"].good[:50]:             "malformed JSON",
			w["json"].good + "{}":           "nothing after the object",
			"\xef\xbb\xbf" + w["json"].good: "byte order mark",
		},
		"csv": {
			w["csv"].good:                                  "",
			csvWith(3, "\xff\xfe"):                         "not UTF-8",
			csvWith(5, "\xff\xfe"):                         "",
			csvWith(2, "NaN"):                              "not finite",
			csvWith(2, "-inf"):                             "not finite",
			csvWith(2, "1e999"):                            "out of range",
			csvWith(1, "1e99999999999999999999"):           "out of range",
			csvWith(1, strings.Repeat("9", 1<<19)):         "out of range",
			csvWith(1, "0x10"):                             "a text that is not one",
			csvWith(1, "true"):                             "a text that is not one",
			csvWith(4, "SFO"):                              "a text that is not one",
			csvWith(0, "yesterday"):                        "a text that is not one",
			csvWith(0, ""):                                 "not nullable",
			csvWith(3, strings.Repeat(`""`, 1<<18)):        "",
			csvWith(3, `"x"`+strings.Repeat(`"`, 1<<18-1)): "no closing quote",
			csvWith(3, `"`+strings.Repeat(`""`, 1<<18)):    "no closing quote",
			csvWith(5, strings.Repeat("x", 10<<20)):        "bytes, the bound is",
			strings.Repeat(",", 1<<19):                     "wrong number of fields",
			strings.Repeat("\n", 1<<19):                    "a second line",
			"":                                             "wrong number of fields",
			w["csv"].good + "\n" + w["csv"].good:           "a second line",
			"\x00\x00\x00\x00":                             "wrong number of fields",
		},
		"avro": {
			w["avro"].good: "",
			record(date, delay, distance, origin, cancelled):                                   "",
			record(date, delay, distance, "\x06S\xff\xfe", cancelled):                          "not UTF-8",
			record(date, delay, "\x02"+double(math.NaN()), origin, cancelled):                  "not finite",
			record(date, delay, "\x02"+double(math.Inf(1)), origin, cancelled):                 "not finite",
			record(date, "\x02"+strings.Repeat("\xff", 9)+"\x03", distance, origin, cancelled): "more than 64 bits",
			record(date, "\x02"+strings.Repeat("\xff", 1000), distance, origin, cancelled):     "more than 64 bits",
			record(date, "\x04\x05", distance, origin, cancelled):                              "a branch that",
			record(date, delay, distance, long(1<<50), cancelled):                              "beyond the event",
			record(date, delay, distance, long(-1), cancelled):                                 "beyond the event",
			record(date, delay, distance, origin, "\x02\x02"):                                  "neither 0 nor 1",
			record(long(math.MaxInt64), delay, distance, origin, cancelled):                    "outside the years",
			w["avro"].good + w["avro"].good:                                                    "bytes behind the record",
			w["avro"].good[:len(w["avro"].good)-1]:                                             "beyond the event",
			w["avro"].good + strings.Repeat("x", 10<<20):                                       "bytes, the bound is",
			"": "ends within a number",
		},
	}
	out["avro7"] = map[string]string{"": "Confluent's wire format", "\x01" + w["avro7"].good[1:]: "Confluent's wire format", "\x00\xff\xff\xff\xff" + w["avro"].good: "no schema 4294967295"}
	for e, reason := range out["avro"] {
		out["avro7"][wire(7, e)] = reason
	}
	return out
}

// Each event that hurts is exactly one reject with its reason, and does nothing
// to the events around it.
func TestPoisonIsOneRejectEach(t *testing.T) {
	for format, events := range poison(t) {
		way := ways(t)[format]
		for e, reason := range events {
			shown := fmt.Sprintf("%s %.60q (%d bytes)", format, e, len(e))
			began := time.Now()
			rows, rejects := decode(t, flights, way.cfg, way.good, e, way.good)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s took %v", shown, took)
			}
			if reason == "" {
				if len(rows) != 3 {
					t.Errorf("%s: %.300v", shown, rejects)
				}
				continue
			}
			if want := []string{"100 " + goodRow, "102 " + goodRow}; !slices.Equal(rows, want) || len(rejects) != 1 {
				t.Errorf("%s: %d rows, rejects %.300v", shown, len(rows), rejects)
				continue
			}
			if r := rejects[0]; r.Row != 101 || r.Index != 1 || !strings.Contains(r.Reason, reason) || len(r.Reason) > 400 || len(r.Cause) > 100 {
				t.Errorf("%s: %.300q (%.100q), want %s", shown, r.Reason, r.Cause, reason)
			}
		}
	}
}

// TestABatchIsItsRowsOneByOne holds runs of good and bad events against the same
// events decoded one at a time.
func TestABatchIsItsRowsOneByOne(t *testing.T) {
	columns := table.Schema{Columns: append(slices.Clone(flights.Columns),
		table.Column{Name: "key", Type: table.String, Nullable: true, From: FromKey},
		table.Column{Name: "far", Type: table.Int64, Nullable: true, From: FromHeader + "far"},
		table.Column{Name: "produced", Type: table.Timestamp, Nullable: true, From: FromTimestamp},
		table.Column{Name: "at", Type: table.Int64, From: FromOffset},
		table.Column{Name: "part", Type: table.Int64, From: FromPartition})}
	random := rand.New(rand.NewPCG(9, 10))
	for format, events := range poison(t) {
		way := ways(t)[format]
		var pool []string
		for e := range events {
			if len(e) < 1<<12 {
				pool = append(pool, e, way.good)
			}
		}
		slices.Sort(pool)
		d, err := NewDecoder(columns, way.cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			var run []string
			var envelope random3
			e := Events{Partition: 3}
			for range random.IntN(20) {
				run = append(run, pool[random.IntN(len(pool))])
				e.Nulls = append(e.Nulls, random.IntN(20) == 0)
				envelope.keys = append(envelope.keys, [][]byte{nil, []byte(""), []byte("k"), []byte("\xff"), []byte("a longer key")}[random.IntN(5)])
				envelope.far = append(envelope.far, [][]byte{nil, []byte("7"), []byte("far"), []byte("9223372036854775807")}[random.IntN(4)])
				envelope.times = append(envelope.times, []int64{-1000, 0, 979394160000000, math.MaxInt64}[random.IntN(4)])
			}
			e.Values, e.Ends, e.Offsets = pack(run)
			e.Around = envelope
			if random.IntN(4) == 0 && len(run) > 0 {
				e.Unreadable = map[int]string{random.IntN(len(run)): "it could not be read"}
			}
			rec, rejects, err := d.Decode(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			rows := render(rec)
			rec.Release()
			var oneRows []string
			var oneRejects []Reject
			for i := range run {
				one := Events{Values: []byte(run[i]), Ends: []int{len(run[i])}, Offsets: e.Offsets[i : i+1], Nulls: e.Nulls[i : i+1], Partition: 3, Around: envelope.from(i)}
				if why, ok := e.Unreadable[i]; ok {
					one.Unreadable = map[int]string{0: why}
				}
				rec, rejects, err := d.Decode(t.Context(), one)
				if err != nil {
					t.Fatal(err)
				}
				oneRows = append(oneRows, render(rec)...)
				rec.Release()
				for _, r := range rejects {
					r.Index = i
					oneRejects = append(oneRejects, r)
				}
			}
			if diff := cmp.Diff(oneRows, rows) + cmp.Diff(oneRejects, rejects); diff != "" {
				t.Fatalf("%s %q (-one by one +batch):\n%s", format, run, diff)
			}
			if len(rows)+len(rejects) != len(run) {
				t.Fatalf("%d events became %d rows and %d rejects", len(run), len(rows), len(rejects))
			}
		}
	}
}

// random3 is an Envelope of a key, a header far and a time.
type random3 struct {
	keys, far [][]byte
	times     []int64
}

func (r random3) from(i int) random3 { return random3{r.keys[i:], r.far[i:], r.times[i:]} }

func (r random3) Timestamp(i int) int64 { return r.times[i] }

func (r random3) Key(i int) ([]byte, bool) { return r.keys[i], r.keys[i] != nil }

func (r random3) Header(i int, name string) ([]byte, bool) {
	return r.far[i], name == "far" && r.far[i] != nil
}
