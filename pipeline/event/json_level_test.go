package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/thalweg/thalweg/pipeline/table"
)

// nestedFlights are the flights, two objects deep.
func nestedFlights() (s table.Schema) {
	for _, c := range flights.Columns {
		c.Name = "deep.er." + c.Name
		s.Columns = append(s.Columns, c)
	}
	return s
}

// compareNested holds an event that is nested in another against the same alone.
func compareNested(t *testing.T, flat, nested *Decoder, event []byte) {
	if bytes.Count(event, []byte("{"))+bytes.Count(event, []byte("[")) >= maxDepth-2 || !json.Valid(event) {
		return
	}
	inner := string(event)
	batch := func(d *Decoder, text string) ([]string, []Reject) {
		rec, rejects, err := d.Decode(t.Context(), Events{Values: []byte(text), Ends: []int{len(text)}, Offsets: []int64{7}})
		if err != nil {
			t.Fatal(err)
		}
		defer rec.Release()
		return render(rec), rejects
	}
	rows, rejects := batch(flat, inner)
	got, nestedRejects := batch(nested, `{"deep":{"x":[],"er":`+inner+`,"y":{}},"z":0}`)
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], `"deep.er.`, `"`)
	}
	if !slices.Equal(rows, got) || len(rejects) != len(nestedRejects) {
		t.Fatalf("%q: rows %q, %+v, nested %q, %+v", event, rows, rejects, got, nestedRejects)
	}
}

func FuzzNestedEventsAreReadAsOthers(f *testing.F) {
	flat, err := NewDecoder(flights, Config{})
	if err != nil {
		f.Fatal(err)
	}
	nested, err := NewDecoder(nestedFlights(), Config{})
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range []string{`{"date":"2001-01-13T13:56:00Z","origin":"SFO","delay":1,"distance":0.5,"cancelled":true}`, `{"origin":"a","origin":"b"}`, `5`, `null`, `{}`} {
		f.Add([]byte(e))
	}
	f.Fuzz(func(t *testing.T, event []byte) { compareNested(t, flat, nested, event) })
}

func TestFieldsOfNestedObjectsFillColumns(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{
		{Name: "id", Type: table.Int64, Nullable: true}, {Name: "address.city", Type: table.String, Nullable: true},
		{Name: "address.geo.lat", Type: table.Float64, Nullable: true}, {Name: "address.geo.tags", Type: table.Int64List, Nullable: true},
		{Name: "key.a", Type: table.Int64, Nullable: true}, {Name: "key", Type: table.Int64, Nullable: true},
	}}
	row := func(values string) string {
		parts := strings.Fields(values)
		return fmt.Sprintf(`{"id":%s,"address.city":%s,"address.geo.lat":%s,"address.geo.tags":%s,"key.a":%s,"key":%s}`, parts[0], parts[1], parts[2], parts[3], parts[4], parts[5])
	}
	for _, c := range []struct{ event, row, reason string }{
		{`{"id":1,"address":{"city":"x","geo":{"lat":1.5,"tags":[1,null]}}}`, `1 "x" 1.5 [1,null] null null`, ""},
		{`{"address":{"geo":{"tags":[],"q":{"lat":3},"lat":2},"zip":[{"city":"no"}]},"id":2}`, `2 null 2 [] null null`, ""},
		{`{ "address" : { "city" : "x" , "geo" : { } } , "city":"no" }`, `null "x" null null null null`, ""},
		// A parent that is missing, null or empty.
		{`{"id":1}`, `1 null null null null null`, ""},
		{`{"id":1,"address":null}`, `1 null null null null null`, ""},
		{`{"id":1,"address":{"geo":null}}`, `1 null null null null null`, ""},
		// Names that are spelt with dots, alone and on the way.
		{`{"address.city":"x","address.geo":{"lat":1},"address":{"geo.tags":[3]}}`, `null "x" 1 [3] null null`, ""},
		{`{"address":7,"address.city":"x","address.geo.lat":1,"address.geo.tags":[]}`, `null "x" 1 [] null null`, ""},
		// A column whose name is the path of another's parent.
		{`{"key":3,"key.a":4}`, `null null null null 4 3`, ""},
		{`{"key":{"a":4}}`, "", `field "key": want int64, found object at byte 7`},
		// Parents of other types, and values.
		{`{"id":1,"address":"x"}`, "", `field "address.city": want an object in field "address", found string at byte 18`},
		{`{"id":1,"address":{"city":"x","geo":[1]}}`, "", `field "address.geo.lat": want an object in field "address.geo", found array at byte 36`},
		{`{"address":{"city":1}}`, "", `field "address.city": want string, found number at byte 19`},
		{`{"address":{"geo":{"tags":[1,"x"]}}}`, "", `field "address.geo.tags": want list<int64>, found string as element 1, at byte 29`},
		{`{"address":{"city":"x"},"address.city":"y"}`, "", `field "address.city": appears twice, the second value at byte 39`},
		{`{"address":{"city":"x"},"address":{"city":"y"}}`, "", `field "address.city": appears twice, the second value at byte 42`},
		{`{"address":{"city":"x"}`, "", `malformed JSON: want a comma or the end of the object, found the end at byte 23`},
		{`{"address":{"city":"x"]}`, "", `malformed JSON: want a comma or the end of the object, found ']' at byte 22`},
	} {
		rows, rejects := decode(t, schema, Config{}, c.event)
		if c.reason != "" {
			if len(rejects) != 1 || rejects[0].Reason != c.reason {
				t.Errorf("%s: %q, %+v, want %s", c.event, rows, rejects, c.reason)
			}
		} else if len(rows) != 1 || !strings.Contains(rows[0], row(c.row)) {
			t.Errorf("%s: %q, %+v, want %s", c.event, rows, rejects, row(c.row))
		}
	}
	// Fields that nothing reads make no reject, and unknown ones are found at any depth.
	if rows, rejects := decode(t, schema, Config{Unread: []string{"address.city", "address.geo.lat", "address.geo.tags"}}, `{"id":1,"address":"x"}`); len(rows) != 1 || rejects != nil {
		t.Errorf("unread: %q, %+v", rows, rejects)
	}
	if _, rejects := decode(t, schema, Config{Format: &JSONFormat{OnUnknownField: DeadLetter}}, `{"id":1,"address":{"city":"x","zip":1}}`); len(rejects) != 1 || !strings.Contains(rejects[0].Reason, "no column at byte 30") {
		t.Errorf("unknown: %+v", rejects)
	}
	// A parent that is a column itself is none of another type, in training alone either.
	for _, only := range []bool{false, true} {
		both := table.Schema{Columns: []table.Column{{Name: "a", Type: table.Int64, Nullable: true, TrainingOnly: only}, {Name: "a.b", Type: table.Int64, Nullable: true}, {Name: "x", Type: table.Int64, Nullable: true}}}
		if rows, rejects := decode(t, both, Config{}, `{"a":5,"x":1}`); len(rejects) > 0 || !strings.Contains(rows[0], `"a.b":null`) {
			t.Errorf("training only %v: %q, %+v", only, rows, rejects)
		}
	}
	// What an event says does not depend on those before it.
	events := []string{`{"address":"x"}`, `{"id":5,"address":{"city":"y"}}`, `{"address":{"geo":{"lat":1}},"id":6}`, `{"id":7}`}
	rows, _ := decode(t, schema, Config{}, events...)
	var alone []string
	for _, e := range events {
		one, _ := decode(t, schema, Config{}, e)
		alone = append(alone, one...)
	}
	values := func(rows []string) (out []string) {
		for _, r := range rows {
			out = append(out, r[strings.IndexByte(r, '{'):])
		}
		return out
	}
	if diff := cmp.Diff(values(alone), values(rows)); diff != "" {
		t.Error(diff)
	}
	// Nesting is bounded within columns as elsewhere.
	path := strings.Repeat("a.", maxDots) + "a"
	deep := strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1)
	if _, rejects := decode(t, table.Schema{Columns: []table.Column{{Name: path, Type: table.Int64, Nullable: true}}}, Config{}, deep); len(rejects) != 1 || !strings.Contains(rejects[0].Reason, "nested deeper than 64") {
		t.Errorf("deep: %+v", rejects)
	}
}

// A name of many dots, each of which may be a level, is that of a field only: its readings
// are twice as many for each.
func TestNamesOfManyDotsAreFieldsOnly(t *testing.T) {
	one := func(name string) table.Schema {
		return table.Schema{Columns: []table.Column{{Name: "a.b", Type: table.Int64, Nullable: true}, {Name: name, Type: table.Int64, Nullable: true}}}
	}
	within := strings.Repeat("a.", maxDots) + "a"
	if rows, rejects := decode(t, one(within), Config{}, strings.Repeat(`{"a":`, maxDots+1)+"1"+strings.Repeat("}", maxDots+1)); len(rejects) > 0 || !strings.Contains(rows[0], `"`+within+`":1`) {
		t.Errorf("a path: %q, %+v", rows, rejects)
	}
	beyond := strings.Repeat("a.", maxDots+20) + "a"
	if rows, rejects := decode(t, one(beyond), Config{}, `{"`+beyond+`":2}`); len(rejects) > 0 || !strings.Contains(rows[0], `"`+beyond+`":2`) {
		t.Errorf("a field: %q, %+v", rows, rejects)
	}
}

func TestSamplesFindTheFieldsOfNestedObjects(t *testing.T) {
	s := NewSample(nil, nil)
	s.JSON([]byte(`{"a":{"x":1,"y":{"z":"t"}},"l":[{"x":1}],"m":{}}`))
	s.JSON([]byte(`{"a":{"x":1.5,"w":true},"b":1}`))
	many := `{"many":{"k":{"q":1}`
	for i := range 2 * sampledFields {
		many += fmt.Sprintf(`,"k%d":1`, i)
	}
	s.JSON([]byte(many + `}}`))
	deep := `{"d":` + strings.Repeat(`{"d":`, sampledDepth+3) + "1" + strings.Repeat("}", sampledDepth+4)
	s.JSON([]byte(deep))
	schema := s.Schema()
	var got []string
	for _, c := range schema.Columns {
		got = append(got, c.Name+" "+string(c.Type))
	}
	for _, c := range schema.Unsupported {
		got = append(got, "["+c.Name+" "+c.Type+"]")
	}
	want := []string{"a.x float64", "a.y.z string", "a.w bool", "b int64", "[a struct<…>]", "[a.y struct<…>]", "[l list<…>]", "[m struct<…>]", "[many struct<…> with very many fields]"}
	for i := range sampledDepth + 1 {
		want = append(want, "["+strings.TrimSuffix(strings.Repeat("d.", i+1), ".")+" struct<…>]")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
