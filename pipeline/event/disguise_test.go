package event

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/thalweg/thalweg/pipeline/table"
)

var someColumns = table.Schema{Columns: []table.Column{
	{Name: "x", Type: table.Float64, Nullable: true}, {Name: "c", Type: table.String, Nullable: true},
	{Name: "label", Type: table.Bool, Nullable: true, TrainingOnly: true}, {Name: "from_key", Type: table.String, Nullable: true, From: FromKey}}}

// An event that is no text at all is a reject that says in words what it is.
func TestEventsInDisguiseAreSaidInWords(t *testing.T) {
	utf16Of := func(order binary.AppendByteOrder, text string) (out string) {
		var b []byte
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}
	const object, line = `{"x":1,"c":"ab"}`, "1,ab"
	for _, text := range []string{object, line} {
		cfg, kind := Config{}, "JSON"
		if text == line {
			cfg, kind = Config{Format: &CSVFormat{Columns: []string{"x", "c"}}}, "CSV"
		}
		for event, want := range map[string]string{
			"\ufeff" + text: "byte order mark",
			utf16Of(binary.LittleEndian, "\ufeff"+text):    "UTF-16",
			utf16Of(binary.BigEndian, "\ufeff"+text):       "UTF-16",
			utf16Of(binary.LittleEndian, text):             "UTF-16",
			utf16Of(binary.BigEndian, text):                "UTF-16",
			"\x1f\x8b\x08\x00" + text:                      "gzip",
			"\x28\xb5\x2f\xfd\x04" + text:                  "zstd",
			"\x00\x00\x00\x01\x07" + text:                  "framing of a schema registry, a zero and the id of a schema, here 263",
			"\x03\x00" + strings.Repeat("\x11", 16) + text: "Glue",
			"Obj\x01\x04\x16avro.schema" + text:            "container file",
			"\xac\xed\x00\x05t\x00\x10" + text:             "Java",
			"PAR1\x15\x04" + text:                          "Parquet",
		} {
			rows, rejects := decode(t, someColumns, cfg, event)
			if len(rows) != 0 || !strings.HasPrefix(rejects[0].Reason, "not "+kind+": ") || !strings.Contains(rejects[0].Reason, want) {
				t.Errorf("%q: %v %+v, want a reject that says %q", event, rows, rejects, want)
			}
		}
		if rows, rejects := decode(t, someColumns, cfg, text); len(rows) != 1 {
			t.Errorf("%s: %+v", text, rejects)
		}
	}
	for _, event := range []string{"(,PAR1", "0,é", "1,Obj", ",ÿþ"} {
		if rows, rejects := decode(t, someColumns, Config{Format: &CSVFormat{Columns: []string{"x", "c"}}}, event); len(rows) != 1 && strings.Contains(rejects[0].Reason, "not CSV") {
			t.Errorf("%q: %+v", event, rejects)
		}
	}
	rows, rejects := decode(t, someColumns, registryOf(map[uint32]string{7: `"string"`}), object)
	if len(rows) != 0 || !strings.Contains(rejects[0].Reason, "as JSON does") {
		t.Errorf("JSON for Avro: %v %+v", rows, rejects)
	}
}

// An event with none of the columns would be scored with all of them null: it is
// a reject, which knows the envelopes that rows come in.
func TestAnEventWithNoneOfTheColumnsIsAReject(t *testing.T) {
	for event, want := range map[string]string{
		`{}`: "it has no fields",
		`{"schema":{},"payload":{"x":1,"c":"a"}}`:                     "Kafka Connect's JsonConverter",
		`{"before":null,"after":{"x":1,"c":"a"},"op":"c"}`:            "envelope of Debezium",
		`{"before":{"x":1},"after":null,"source":{},"op":"d"}`:        "envelope of Debezium",
		`{"schema":{},"payload":{"before":null,"after":{},"op":"c"}}`: "ExtractNewRecordState",
		`{"X":1,"C":"a"}`:                     `field "X" is nearly column "x"`,
		` { "data" : {"x":1} , "meta":[1] } `: `its fields are "data", "meta"`,
		`{"label":true}`:                      `its fields are "label"`,
		"{" + strings.Repeat(`"other field":1,`, 1000) + `"last":2}`: "…",
	} {
		rows, rejects := decode(t, someColumns, Config{}, event)
		if len(rows) != 0 || !strings.HasPrefix(rejects[0].Reason, "the event has none of the columns: ") || !strings.Contains(rejects[0].Reason, want) || len(rejects[0].Reason) > 400 {
			t.Errorf("%.99s: %v %+v, want a reject that says %q", event, rows, rejects, want)
		}
	}
	for _, event := range []string{`{"x":null}`, `{"c":null,"after":{},"op":1}`, `{"x":1,"schema":1,"payload":2}`} {
		if rows, rejects := decode(t, someColumns, Config{}, event); len(rows) != 1 {
			t.Errorf("%s: %+v", event, rejects)
		}
	}
	rows, rejects := decode(t, someColumns, Config{Format: &JSONFormat{OnUnknownField: DeadLetter}}, `{"schema":{},"payload":{"x":1}}`)
	if len(rows) != 0 || !strings.Contains(rejects[0].Reason, "Kafka Connect") {
		t.Errorf("where unknown fields are rejects: %v %+v", rows, rejects)
	}
	around := table.Schema{Columns: someColumns.Columns[2:]}
	if rows, rejects := decode(t, around, Config{}, `{}`); len(rows) != 1 {
		t.Errorf("no column comes from fields: %+v", rejects)
	}
	debezium := `{"type":"record","name":"Envelope","fields":[{"name":"before","type":"null"},{"name":"after","type":"null"},{"name":"op","type":"string"}]}`
	rows, rejects = decode(t, someColumns, registryOf(map[uint32]string{7: debezium}), wire(7, "\x02c"))
	if len(rows) != 0 || !strings.Contains(rejects[0].Reason, "envelope of Debezium") {
		t.Errorf("Avro: %v %+v", rows, rejects)
	}
}

// What does not fit a column that nothing reads is null and counted, whatever is
// wrong with it; all that is read is as strict as ever.
func TestAColumnThatNothingReadsMakesNoReject(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{
		{Name: "x", Type: table.Float64}, {Name: "when", Type: table.Timestamp, Nullable: true}, {Name: "note", Type: table.String, Nullable: true},
		{Name: "n", Type: table.Int64, Nullable: true}, {Name: "key", Type: table.Int64, Nullable: true, From: FromKey}}}
	events := []string{
		`{"x":1,"when":"2001-02-03","note":"fits","n":7}`, `{"x":2,"when":"soon","note":"a` + "\xff" + `","n":1.5}`,
		`{"x":3,"when":[1,{}],"note":"\ud800","n":99999999999999999999}`, `{"n":1,"x":4,"n":2,"n":3}`,
		`{"x":"no","n":"no"}`, `{"x":5,"n":1e}`,
	}
	var e Events
	for i, text := range events {
		e.Values = append(e.Values, text...)
		e.Ends, e.Offsets = append(e.Ends, len(e.Values)), append(e.Offsets, int64(i))
	}
	d, err := NewDecoder(schema, Config{Unread: []string{"when", "note", "n", "key"}})
	if err != nil {
		t.Fatal(err)
	}
	rec, rejects, err := d.Decode(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	var got []string
	for row := range int(rec.NumRows()) {
		got = append(got, string(AppendJSON(nil, rec, row)))
	}
	want := []string{`{"x":1,"when":"2001-02-03T00:00:00Z","note":"fits","n":7,"key":null}`, `{"x":2,"when":null,"note":null,"n":null,"key":null}`,
		`{"x":3,"when":null,"note":null,"n":null,"key":null}`, `{"x":4,"when":null,"note":null,"n":null,"key":null}`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(rejects) != 2 || !strings.Contains(rejects[0].Reason, `field "x": want float64`) || !strings.Contains(rejects[1].Reason, "malformed JSON") {
		t.Errorf("rejects %+v", rejects)
	}
	if counts := d.TakeUnfit(); fmt.Sprint(counts) != "map[n:3 note:2 when:2]" || d.TakeUnfit() != nil {
		t.Errorf("counted %v", counts)
	}
}
