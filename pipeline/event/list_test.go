package event

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// lists is a schema of lists of each type.
var lists = table.Schema{Columns: []table.Column{
	{Name: "v", Type: table.Float64List, Nullable: true},
	{Name: "n", Type: table.Int64List, Nullable: true},
	{Name: "b", Type: table.BoolList, Nullable: true},
	{Name: "x", Type: table.Int64},
}}

func TestArraysBecomeLists(t *testing.T) {
	rows, rejects := decode(t, lists, Config{},
		`{"v":[0.5,null,-1e3,2],"n":[1,7.0],"b":[true,false,null],"x":1}`,
		`{"v": [ ] ,"n":null,"x":2}`,
		`{"v":[1,2,"3"],"n":[9,9],"x":3}`,
		"{\"b\":[\n true\t, false ],\"x\":4,\"v\":[7]}",
	)
	want := []string{
		`100 {"v":[0.5,null,-1000,2],"n":[1,7],"b":[true,false,null],"x":1}`,
		`101 {"v":[],"n":null,"b":null,"x":2}`,
		`103 {"v":[7],"n":null,"b":[true,false],"x":4}`,
	}
	if diff := cmp.Diff(want, rows); diff != "" || len(rejects) != 1 {
		t.Errorf("rows (-want +got):\n%s\nrejects: %v", diff, rejects)
	}
}

func TestAWrongElementRejectsTheEventByItsPosition(t *testing.T) {
	for _, tc := range []struct{ event, reason, cause string }{
		{`{"v":[1,2,"3",true],"x":1}`, `field "v": want list<float64>, found string as element 2, at byte 10`, `v: want list<float64>, found string`},
		{`{"v":[1e999],"x":1}`, `field "v": want list<float64>, found a number out of range as element 0, at byte 6`, `v: want list<float64>, found a number out of range`},
		{`{"v":[1,[2]],"x":1}`, `field "v": want list<float64>, found array as element 1, at byte 8`, `v: want list<float64>, found array`},
		{`{"v":[{"a":1}],"x":1}`, `field "v": want list<float64>, found object as element 0, at byte 6`, `v: want list<float64>, found object`},
		{`{"v":[true],"x":1}`, `field "v": want list<float64>, found bool as element 0, at byte 6`, `v: want list<float64>, found bool`},
		{`{"n":[1,1.5],"x":1}`, `field "n": want list<int64>, found a number with a fraction as element 1, at byte 8`, `n: want list<int64>, found a number with a fraction`},
		{`{"b":[1],"x":1}`, `field "b": want list<bool>, found number as element 0, at byte 6`, `b: want list<bool>, found number`},
		{`{"v":1,"x":1}`, `field "v": want list<float64>, found number at byte 5`, `v: want list<float64>, found number`},
		{`{"v":"[1]","x":1}`, `field "v": want list<float64>, found string at byte 5`, `v: want list<float64>, found string`},
		{`{"x":[1]}`, `field "x": want int64, found array at byte 5`, `x: want int64, found array`},
		{`{"v":[1,],"x":1}`, `malformed JSON: want a value, found ']' at byte 8`, `malformed JSON`},
		{`{"v":[1 2],"x":1}`, `malformed JSON: want a comma or a closing bracket, found '2' at byte 8`, `malformed JSON`},
		{`{"v":[`, `malformed JSON: want a value, found the end at byte 6`, `malformed JSON`},
		{`{"v":[1`, `malformed JSON: want a comma or a closing bracket, found the end at byte 7`, `malformed JSON`},
		{`{"v":[NaN],"x":1}`, `malformed JSON: want a value, found 'N' at byte 6`, `malformed JSON`},
		{`{"v":[1],"v":[2],"x":1}`, `field "v": appears twice, the second value at byte 13`, `v: appears twice`},
	} {
		// What an event before it said of its elements is forgotten.
		rows, rejects := decode(t, lists, Config{}, `{"v":[1,2,3,"x"],"x":1}`, tc.event)
		if len(rejects) != 2 {
			t.Errorf("%s: accepted as %v", tc.event, rows)
			continue
		}
		if diff := cmp.Diff(Reject{Row: 101, Index: 1, Reason: tc.reason, Cause: tc.cause}, rejects[1]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.event, diff)
		}
	}
}

func TestAListThatNothingReadsRejectsNoEvent(t *testing.T) {
	rows, rejects := decode(t, lists, Config{Unread: []string{"v"}}, `{"v":[1,"x"],"x":1}`, `{"v":[2],"x":2}`, `{"v":[3],"v":[4,5],"x":3}`)
	want := []string{`100 {"v":null,"n":null,"b":null,"x":1}`, `101 {"v":[2],"n":null,"b":null,"x":2}`, `102 {"v":null,"n":null,"b":null,"x":3}`}
	if diff := cmp.Diff(want, rows); diff != "" || len(rejects) > 0 {
		t.Errorf("rows (-want +got):\n%s\nrejects: %v", diff, rejects)
	}
}

const listsAvro = `{"type":"record","name":"r","fields":[{"name":"v","type":["null",{"type":"array","items":["null","float","long"]}]},
	{"name":"n","type":{"type":"array","items":"int"}},{"name":"b","type":{"type":"array","items":["boolean","null"]}},{"name":"x","type":"long"}]}`

func TestAvroArraysBecomeLists(t *testing.T) {
	long := func(v int64) string { return string(binary.AppendVarint(nil, v)) }
	float := func(v float32) string {
		return string(binary.LittleEndian.AppendUint32(nil, math.Float32bits(v)))
	}
	good := long(1) + long(2) + long(1) + float(0.5) + long(0) + long(-1) + long(2) + long(2) + long(7) + long(0) + // v, in two blocks, one with its size
		long(1) + long(-4) + long(0) + long(0) + long(5)
	rows, rejects := decode(t, lists, plainAvro(listsAvro), good,
		long(0)+long(0)+long(0)+long(6),
		long(1)+long(1)+long(1)+float(float32(math.NaN()))+long(0)+long(0)+long(0)+long(7),
		long(1)+long(1<<40)+long(0)+long(0)+long(0)+long(7),
		long(1)+long(1)+long(9)+long(0)+long(0)+long(0)+long(7),
		long(1)+long(-1)+long(3)+long(2)+long(7)+long(0)+long(0)+long(0)+long(7),
	)
	want := []string{`100 {"v":[0.5,null,7],"n":[-4],"b":[],"x":5}`, `101 {"v":null,"n":[],"b":[],"x":6}`}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for i, want := range []string{"found a number that is not finite as element 0", "malformed Avro", "a branch that the union does not have", "a block of another length than it says"} {
		if i >= len(rejects) || !strings.Contains(rejects[i].Reason, want) {
			t.Errorf("reject %d of %v, want %s", i, rejects, want)
		}
	}
}

func TestAnAvroSchemaWhoseItemsDoNotFitIsRefused(t *testing.T) {
	for _, items := range []string{`"string"`, `"null"`, `{"type":"array","items":"double"}`} {
		_, err := NewDecoder(table.Schema{Columns: lists.Columns[:1]}, plainAvro(`{"type":"record","name":"r","fields":[{"name":"v","type":{"type":"array","items":`+items+`}}]}`))
		if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), `field "v"`) {
			t.Errorf("items %s: %v", items, err)
		}
	}
}

// TestListsSurviveAsEvents writes random rows as events and reads them back.
func TestListsSurviveAsEvents(t *testing.T) {
	schema := table.Schema{Columns: lists.Columns[:3]}
	text, err := AvroSchemaOf("r", schema)
	if err != nil {
		t.Fatal(err)
	}
	encoder, err := NewAvroEncoder(text, schema.Arrow())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		batch := tabletest.Draw(rt, memory.DefaultAllocator, schema, 8)
		defer batch.Release()
		want := make([]string, batch.NumRows())
		var asJSON, asAvro []string
		for i := range want {
			line := string(AppendJSON(nil, batch, i))
			want[i] = fmt.Sprintf("%d %s", 100+i, line)
			asJSON = append(asJSON, line)
			if b, err := encoder.Append(nil, batch, i); err != nil {
				rt.Fatal(err)
			} else {
				asAvro = append(asAvro, string(b))
			}
		}
		if rows, rejects := decode(t, schema, Config{}, asJSON...); len(rejects) > 0 || !cmp.Equal(rows, want) && len(want) > 0 {
			rt.Fatalf("%v: %v", rejects, cmp.Diff(want, rows))
		}
		rows, rejects := decode(t, schema, plainAvro(text), asAvro...)
		for _, r := range rejects { // JSON has null for it, Avro says it
			if !strings.Contains(r.Reason, "not finite as element") {
				rt.Fatal(r)
			}
		}
		for _, row := range rows {
			var at int
			fmt.Sscan(row, &at)
			if want[at-100] != row {
				rt.Fatalf("%s instead of %s", row, want[at-100])
			}
		}
	})
}
