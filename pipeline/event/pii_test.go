package event

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
)

const (
	canary       = "Zanzibar-Kettle"
	canaryNumber = "4815162342"
)

// passengers are columns of which each is kept from leaving in its own way.
func passengers(t testing.TB) table.Schema {
	key, err := table.NewKey([]byte("a secret of the test"))
	if err != nil {
		t.Fatal(err)
	}
	return table.Schema{Key: key, Columns: []table.Column{
		{Name: "distance", Type: table.Int64},
		{Name: "seat", Type: table.String, PII: table.PIIDrop},
		{Name: "name", Type: table.String, PII: table.PIIMask},
		{Name: "passport", Type: table.String, Raw: table.Int64, Nullable: true, PII: table.PIIHash},
		{Name: "mail", Type: table.String, Nullable: true, PII: table.PIIHash},
	}}
}

// passengerEvents are events of passengers with the canaries in each column, by format.
func passengerEvents(t testing.TB) map[string]struct {
	cfg    Config
	events []string
} {
	schema := `{"type":"record","name":"P","fields":[{"name":"distance","type":"long"},{"name":"seat","type":"string"},` +
		`{"name":"name","type":"string"},{"name":"passport","type":["null","long"]},{"name":"mail","type":"string"},{"name":"note","type":"string"}]}`
	text := func(s string) string { return string(append([]byte{byte(2 * len(s))}, s...)) }
	long := "\x02" + string(binary.AppendVarint(nil, 4815162342)) // the branch, and the number
	return map[string]struct {
		cfg    Config
		events []string
	}{
		"json": {Config{Format: &JSONFormat{OnUnknownField: DeadLetter}}, []string{
			fmt.Sprintf(`{"distance":7,"seat":%q,"name":%q,"passport":%s,"mail":%q}`, canary, canary, canaryNumber, canary)}},
		"csv":  {Config{Format: new(CSVFormat)}, []string{strings.Join([]string{"7", canary, canary, canaryNumber, canary}, ",")}},
		"avro": {Config{Format: &AvroFormat{SchemaFile: "s3://lake/s"}, Schema: schema}, []string{"\x0e" + text(canary) + text(canary) + long + text(canary) + text(canary)}},
	}
}

func TestEventsOfAllFormatsHaveTheSameProtectedColumns(t *testing.T) {
	var first []string
	for name, of := range passengerEvents(t) {
		of.cfg.Private = true
		rows, rejects := decode(t, passengers(t), of.cfg, of.events...)
		if len(rejects) > 0 || len(rows) != 1 || strings.Contains(rows[0], "seat") || !strings.Contains(rows[0], `"name":"xxxxxxxx-xxxxxx"`) {
			t.Errorf("%s: %s %+v", name, rows, rejects)
		}
		if first == nil {
			first = rows
		}
		if diff := cmp.Diff(first, rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRejectsOfPrivateEventsQuoteNothing(t *testing.T) {
	draw := rand.New(rand.NewPCG(7, 7))
	for name, of := range passengerEvents(t) {
		of.cfg.Private = true
		events := []string{canary, `{"` + canary + `":1}`, `{"distance":"` + canary + `"}`, `{"distance":7,"name":"` + canary + `","name":"` + canary + `"}`,
			"\x00" + canary, `{"distance":7,"` + canary + `":1,"name":"a"}`, canary + ",b,c,1,d", "7,a,b," + canary + ",d", `"` + canary}
		for range 2000 {
			e := []byte(of.events[0])
			switch draw.IntN(3) {
			case 0:
				e = e[:draw.IntN(len(e))]
			case 1:
				e[draw.IntN(len(e))] = byte(draw.IntN(256))
			default:
				at := draw.IntN(len(e))
				e = append(append(append([]byte{}, e[:at]...), canary[draw.IntN(9):]...), e[at:]...)
			}
			events = append(events, string(e))
		}
		rows, rejects := decode(t, passengers(t), of.cfg, events...)
		if len(rejects) < 100 {
			t.Errorf("%s: %d rejects of %d", name, len(rejects), len(events))
		}
		for _, r := range rejects {
			told(t, name+" reject", fmt.Sprintf("%+v", r))
		}
		for _, row := range rows {
			told(t, name+" row", row)
		}
	}
}

// told fails where a text has four bytes in a row of a canary.
func told(t *testing.T, what, text string) {
	t.Helper()
	for _, c := range []string{canary, canaryNumber} {
		for i := range len(c) - 4 {
			if strings.Contains(text, c[i:i+5]) {
				t.Fatalf("%s: %s tells %s", what, text, c[i:i+5])
			}
		}
	}
}

func TestWhatIsAroundAnEventIsProtectedToo(t *testing.T) {
	schema := passengers(t)
	schema.Columns[2].From, schema.Columns[3].From, schema.Columns[4].From = FromKey, "header:p", "header:m"
	schema.Columns[1].From = "header:seat"
	if NeedsHeaders(table.Schema{Columns: schema.Columns[:2]}) {
		t.Error("a dropped column asks for headers")
	}
	d, err := NewDecoder(schema, Config{Private: true})
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets := pack([]string{`{"distance":7}`, `{"distance":"x"}`})
	rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets, Around: canaries{}})
	if err != nil || rec.NumRows() != 1 || len(rejects) != 1 {
		t.Fatal(err, rejects)
	}
	told(t, "row", render(rec)[0])
	told(t, "reject", fmt.Sprintf("%+v", rejects[0]))
	if rejects[0].Shapes["name"] != "xxxxxxxx-xxxxxx" || rejects[0].Shapes["passport"] != "9999999999" {
		t.Errorf("%+v", rejects[0])
	}
}

// canaries are around each event.
type canaries struct{}

func (canaries) Timestamp(int) int64    { return 0 }
func (canaries) Key(int) ([]byte, bool) { return []byte(canary), true }
func (canaries) Header(_ int, name string) ([]byte, bool) {
	if name == "p" {
		return []byte(canaryNumber), true
	}
	return []byte(canary), true
}

// What was read of a rejected event is not in the dictionaries of the batch, where a
// search of a file's bytes would find it.
func TestBatchesHaveNoWordsOfRejectedEvents(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "group", Type: table.String, Nullable: true}, {Name: "distance", Type: table.Int64}, {Name: "name", Type: table.String, PII: table.PIIMask}}}
	d, err := NewDecoder(schema, Config{Format: new(CSVFormat)})
	if err != nil {
		t.Fatal(err)
	}
	values, ends, offsets := pack([]string{canary + ",x,a", canary, "a,1,b", "b,2," + canary, ",3,c"})
	rec, rejects, err := d.Decode(t.Context(), Events{Values: values, Ends: ends, Offsets: offsets})
	if err != nil || rec.NumRows() != 3 || len(rejects) != 2 {
		t.Fatal(err, rejects)
	}
	for _, i := range []int{0, 2} {
		told(t, "dictionary", fmt.Sprint(rec.Column(i).(*array.Dictionary).Dictionary()))
	}
}

// What stands where the id of a schema does may be a value.
func TestRejectsOfPrivateEventsNameNoSchemaThatIsNone(t *testing.T) {
	for name, failure := range map[string]error{"no such schema": nil, "a refusal": &thalweg.Error{Kind: thalweg.Invalid, Subject: "schema 1094861636"}} {
		_, rejects := decode(t, passengers(t), Config{Format: registered(), Schemas: &registry{err: failure}, Private: true}, wire(1094861636, "x"))
		if text := fmt.Sprintf("%+v", rejects); len(rejects) != 1 || strings.Contains(text, "1094861636") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
