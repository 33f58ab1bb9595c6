package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

// textSpec is flightSpec of columns that CSV can have.
var textSpec = strings.NewReplacer("    - {name: gates, type: list}\n    - {name: first, type: number, expression: \"gates[0]\"}\n", "",
	"{s3: {path: \"s3://lake/flights/*.parquet\"}, format: {type: parquet}}", "TRAIN").Replace(flightSpec)

// asText puts the flights into the lake once more, in a format.
func asText(t *testing.T, lake storage.Bucket, ext string, write func(distance, delay int64, origin string) string, header string) {
	t.Helper()
	for i := range flightShards {
		r, err := dataset.OpenBytes("flights", flightFile(t, i), []string{"distance", "delay", "origin"}, dataset.ReaderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		text := header
		batch, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		ints := func(col int) *array.Int64 { return batch.Column(col).(*array.Int64) }
		origins := batch.Column(2).(*array.Dictionary)
		for row := range int(batch.NumRows()) {
			text += write(ints(0).Value(row), ints(1).Value(row), origins.Dictionary().(*array.String).Value(origins.GetValueIndex(row)))
		}
		batch.Release()
		r.Close()
		if _, err := lake.Put(t.Context(), fmt.Sprintf("flights/%d.%s", i, ext), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

// asArrow is asText of Arrow IPC, in batches of 200 rows.
func asArrow(t *testing.T, lake storage.Bucket) {
	t.Helper()
	for i := range flightShards {
		r, err := dataset.OpenBytes("flights", flightFile(t, i), []string{"delay", "origin", "distance"}, dataset.ReaderConfig{BatchRows: 200})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := ipc.NewWriter(&out, ipc.WithSchema(r.Schema()), ipc.WithZstd(), ipc.WithDictionaryDeltas(true))
		for batch, err := r.Next(); err != io.EOF; batch, err = r.Next() {
			if err == nil {
				err = w.Write(batch)
			}
			if err != nil {
				t.Fatal(err)
			}
			batch.Release()
		}
		if _, err := lake.Put(t.Context(), fmt.Sprintf("flights/%d.arrow", i), out.Bytes()); err != nil {
			t.Fatal(err)
		}
		r.Close()
	}
}

func csvLine(distance, delay int64, origin string) string {
	return fmt.Sprintf("%d,%d,%q\n", distance, delay, origin)
}

func jsonLine(distance, delay int64, origin string) string {
	return fmt.Sprintf("{\"origin\":%q,\"delay\":%d,\"other\":{\"x\":[1]},\"distance\":%d}\n", origin, delay, distance)
}

func ofFormat(path, format string) string {
	return strings.Replace(textSpec, "TRAIN", fmt.Sprintf("{s3: {path: %q}, format: %s}", "s3://lake/"+path, format), 1)
}

// The same rows give the same model, from whichever format and by however many tasks.
func TestAllFormatsOfTheSameRowsGiveTheSameModel(t *testing.T) {
	var want map[string]string
	for n, f := range []struct{ path, format string }{
		{"flights/*.parquet", "{type: parquet}"}, {"flights/*.csv", "{type: csv}"}, {"flights/*.jsonl", "{type: jsonl}"}, {"flights/*.arrow", "{type: arrow}"},
		{"flights/*.tsv", `{type: csv, delimiter: "\t", quote: "'", header: false, encoding: utf-16, comment: "#", null_text: "NULL", columns: [origin, distance, delay]}`},
	} {
		for i, tasks := range []uint32{1, 2, flightShards} {
			if !effort.Takes(n+i, 3) { // each format by one number of tasks
				continue
			}
			b := newBatchHalf(t)
			asText(t, b.lake, "csv", csvLine, "\xef\xbb\xbfdistance,delay,origin\n")
			asText(t, b.lake, "jsonl", jsonLine, "")
			asArrow(t, b.lake)
			asText(t, b.lake, "tsv", func(distance, delay int64, origin string) string {
				var wide strings.Builder
				for _, ch := range fmt.Sprintf("'%s'\t%d\t%d\r\n# none\t\t\r\n", origin, distance, delay) {
					wide.Write([]byte{byte(ch), 0})
				}
				return wide.String()
			}, "\xff\xfe")
			for i := range flightShards { // a row's split goes by the key of its object
				body, _, err := b.lake.Get(t.Context(), strings.Replace(f.path, "*", fmt.Sprint(i), 1))
				if err == nil {
					_, err = b.lake.Put(t.Context(), fmt.Sprint("same/", i), body)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			b.spec = strings.Replace(ofFormat("same/*", f.format), "\n  preprocessing:", declared, 1)
			got, metrics, counts := b.all(tasks)
			if counts["rows"] != 0 || counts["rows_in"] != flightShards*flightRows || metrics["test.roc_auc"] <= 0.5 {
				t.Errorf("%s: %v %v", f.path, counts, metrics)
			}
			again, _, _ := b.again().all(1)
			got = map[string]string{"model": got["model_sha256"], "transform": got["transform"], "split": got["split"]}
			if want == nil {
				want = got
			}
			if !maps.Equal(got, want) || again["model_sha256"] != got["model"] {
				t.Errorf("%s by %d tasks: %v, want %v, and once more %s", f.path, tasks, got, want, again["model_sha256"])
			}
		}
	}
}

// profileOf carries out the first stage of a spec.
func profileOf(t *testing.T, spec string, objects map[string]string) (*batchHalf, *apiv1.TaskReport) {
	t.Helper()
	b := newBatchHalf(t)
	for key, text := range objects {
		if _, err := b.lake.Put(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	b.spec = spec
	report := b.task(&apiv1.Lease{Kind: "profile", Reduce: true, Reducers: 1})
	maps.Copy(b.inputs, report.Outputs)
	return b, report
}

func TestABadRowFailsTheRunByItsPlace(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("distance,delay,origin\n")
	for i := range 20_000 { // beyond what types are found by
		fmt.Fprintf(&rows, "%d,%d,\"air\nport\"\n", i, i%40)
	}
	for bad, why := range map[string][2]string{
		"1,x,a\n":      {`field "delay": want int64, found a text that is not one in position 2`, "declare the column as string"},
		"1,2\n":        {"wrong number of fields: want 3, found 2", "delimiter"},
		"1,2,3,4\n":    {"wrong number of fields: want 3, found 4", "delimiter"},
		"1,2,\"a\"b\n": {"text behind the closing quote in field 3", "quote: none"},
		"1,2,a\xff\n":  {`field "origin": want string, found a string that is not UTF-8`, "encoding: windows-1252"},
		"1,2.5,a\n":    {"a number with a fraction", "declare the column as string"},
		"1,2,\"a\nb":   {"a quote is not closed", "(mend the row, or"},
	} {
		b, report := profileOf(t, ofFormat("bad/*.csv", "{type: csv}"), map[string]string{"bad/1.csv": rows.String() + bad})
		if report.Error != "" {
			t.Fatal(report.Error)
		}
		got := b.task(&apiv1.Lease{Kind: "clean", Reducers: 1, ShardTo: 1})
		place := fmt.Sprintf("object bad/1.csv, line 40002, byte %d: ", rows.Len())
		if !strings.Contains(got.Error, place) || !strings.Contains(got.Error, why[0]) || !strings.Contains(got.Error, why[1]) || !got.Permanent {
			t.Errorf("%q: %s, want %s%s", bad, got.Error, place, why)
		}
	}
}

// rejected puts flights into the lake, of which each tenth row is bad.
func rejected(b *batchHalf) {
	n := 0
	asText(b.t, b.lake, "csv", func(distance, delay int64, origin string) string {
		if n++; n%10 == 3 {
			return []string{"x,1,2\n", "1,2\n", "1,2,3,4\n", "1,\"2\"3,4\n"}[n/10%4]
		}
		return csvLine(distance, delay, origin)
	}, "distance,delay,origin\n")
}

// declared is what specs say of the columns of flights.
const declared = "\n  schema: {columns: [{name: distance, type: int64, nullable: false}, {name: delay, type: int64, nullable: false}, {name: origin, type: string, nullable: false}]}\n  preprocessing:"

// Rows that are rejected are counted once, whoever reads them and however often, are
// kept with their places, and leave no trace in the model.
func TestRejectedRowsAreCountedOnceAndKeptWithTheirPlaces(t *testing.T) {
	const bad = flightShards * flightRows / 10
	for _, steps := range []bool{true, false} {
		of := func(rate string) string {
			spec := strings.Replace(ofFormat("flights/?.csv", "{type: csv}, on_bad_row: {type: reject, max_rate: "+rate+"}"), "\n  preprocessing:", declared, 1)
			if !steps {
				spec = strings.Replace(spec, "    clean:\n      - {filter: {expression: \"distance > 0\"}}\n", "    split: {type: random}\n", 1)
			}
			return spec
		}
		var want map[string]int64
		for _, tasks := range []uint32{1, 2, flightShards} {
			b := newBatchHalf(t)
			rejected(b)
			b.spec = of("10%")
			hashes, _, counts := b.all(tasks)
			if want == nil {
				want = maps.Clone(counts)
			}
			if counts["rows_rejected"] != bad || counts["rows_in"] != flightShards*flightRows-bad || !maps.Equal(counts, want) {
				t.Errorf("by %d tasks: %v, before %v", tasks, counts, want)
			}
			again, _, counts := b.again().all(1)
			if !maps.Equal(counts, want) || again["model_sha256"] != hashes["model_sha256"] {
				t.Errorf("once more: %v, want %v", counts, want)
			}
			if shown := b.inputs["bad_rows"]; !strings.Contains(shown, "200 of 2,000 rows") || !strings.Contains(shown, "object flights/0.csv, line 4, byte ") {
				t.Errorf("shown: %s", shown)
			}
			_, key, _ := strings.Cut(b.inputs["bad_rows"], "are in object ")
			body, _, err := b.worker.state.Get(t.Context(), strings.Fields(key)[0])
			if err != nil {
				t.Fatal(err)
			}
			kept := 0
			for line := range strings.Lines(string(body)) {
				var row pipeline.BadRow
				if err := json.Unmarshal([]byte(line), &row); err != nil {
					t.Fatal(err)
				}
				object, _, err := b.lake.Get(t.Context(), row.Object)
				if err != nil || !strings.HasPrefix(string(object[row.Offset:]), row.Row+"\n") || int64(strings.Count(string(object[:row.Offset]), "\n")) != row.Line-1 || row.Reason == "" {
					t.Fatalf("%+v: %v", row, err)
				}
				kept++
			}
			if kept != bad {
				t.Errorf("%d rows are kept, want %d", kept, bad)
			}
		}
		b := newBatchHalf(t)
		rejected(b)
		b.spec = of("9.99%")
		if err := b.upTo("fit", 1).Error; !strings.Contains(err, "200 of 2,000 rows cannot be read") || !strings.Contains(err, "9.99% are allowed") || !strings.Contains(err, "line 4") {
			t.Errorf("too many: %s", err)
		}
	}
}

// What is lost behind a quote that is not closed is not one row.
func TestLinesBehindAnOpenQuoteAllCount(t *testing.T) {
	b := newBatchHalf(t)
	asText(t, b.lake, "csv", func(distance, delay int64, origin string) string {
		return fmt.Sprintf("%d,%d,%s\n", distance, delay, origin)
	}, "distance,delay,origin\n")
	body, _, err := b.lake.Get(t.Context(), "flights/1.csv")
	if err == nil {
		_, err = b.lake.Put(t.Context(), "flights/1.csv", []byte(strings.Replace(string(body), "\n", "\n\"", 1)))
	}
	if err != nil {
		t.Fatal(err)
	}
	b.spec = strings.Replace(ofFormat("flights/?.csv", "{type: csv}, on_bad_row: {type: reject, max_rate: 20%}"), "\n  preprocessing:", declared, 1)
	if err := b.upTo("fit", 1).Error; !strings.Contains(err, "500 of 2,000 rows cannot be read") {
		t.Errorf("a quote that is not closed: %s", err)
	}
}

// columnsOf returns what a format finds objects to have: "name type", what is not
// usable in brackets.
func columnsOf(t *testing.T, format string, schema string, objects map[string]string) (*dataset.Manifest, []string, error) {
	t.Helper()
	opener := storememory.NewOpener("lake")
	lake, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	for key, text := range objects {
		if _, err := lake.Put(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := pipeline.Parse(catalog.All(), "s.yaml", []byte(strings.Replace(ofFormat("**/*", format), "\n  preprocessing:", "\n  schema: "+schema+"\n  preprocessing:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	from, err := Source(spec, DatasetFormats())
	if err != nil {
		t.Fatal(err)
	}
	from.Bucket, from.Pattern = lake, "**/*"
	m, found, err := from.Discover(t.Context())
	if err != nil {
		return nil, nil, err
	}
	if err := m.Validate(); err != nil {
		t.Errorf("%s: %v", format, err)
	}
	var columns []string
	for _, c := range found.Columns {
		columns = append(columns, c.Name+" "+string(c.Type))
	}
	for _, c := range found.Unsupported {
		columns = append(columns, "["+c.Name+" "+c.Type+"]")
	}
	return m, columns, nil
}

func TestColumnsAndTypesOfTexts(t *testing.T) {
	const undeclared = "{timezone: UTC}"
	for _, c := range []struct {
		name, format, schema string
		objects              map[string]string
		want                 []string
	}{
		{"types", "{type: csv}", undeclared, map[string]string{"a": "i,f,b,t,s,z,n,q,big,d\n1,1,true,2020-01-02 03:04:05,x,007,,\"\",12345678901234567890,2020-01-01\n-2,1.5,FALSE,2020-01-02T03:04:05Z,1,1,,,1,2020-01-02\n"},
			[]string{"i int64", "f float64", "b bool", "t timestamp", "s string", "z string", "n string", "q string", "big string", "d timestamp"}},
		{"all in quotes", "{type: csv}", undeclared, map[string]string{"a": "x,s,n\n\"1\",\"\",\"\"\n\"\",\"a\",\"\"\n"}, []string{"x int64", "s string", "n string"}},
		{"decimal comma", "{type: csv, delimiter: ';', decimal_comma: true}", undeclared, map[string]string{"a": "f;p\n1,5;1.5\n2;1\n"}, []string{"f float64", "p string"}},
		{"declared", "{type: csv}", "{columns: [{name: z, type: string}, {name: i, type: float64}]}", map[string]string{"a": "i,z\n1,2\n"}, []string{"i float64", "z string"}},
		{"no header", "{type: csv, header: false}", "{columns: [{name: x, type: int64}, {name: y, type: string}]}", map[string]string{"a": "1,2\n"}, []string{"x int64", "y string"}},
		{"other orders and gaps", "{type: csv}", undeclared, map[string]string{"a/1": "x,y\n1,a\n", "a/2": "y,z\nb,2\n", "a/3": "y,x\nc,3\n", "a/_x": "none", "a/4": "x,y\n"},
			[]string{"x int64", "y string", "z int64"}},
		{"names that are none", "{type: csv}", undeclared, map[string]string{"a": ",x,_row,\n0,1,2,a\n"}, []string{"column_1 int64", "x int64", "column_4 string", "[_row int64 whose name is taken, or none]"}},
		{"JSON", "{type: jsonl}", undeclared, map[string]string{"a": `{"i":1,"f":1,"b":true,"s":"x","t":"2020-01-01T00:00:00Z","l":[1,2.5,null],"o":{"x":1},"m":1,"e":[],"n":null,"k":1}` + "\n" + `{"late":1e3,"f":1.5,"m":"x","k":[1]}` + "\n"},
			[]string{"i int64", "f float64", "b bool", "s string", "t timestamp", "l list<float64>", "o.x int64", "n string", "late int64", "[o struct<…>]", "[m values of several types]", "[e list<…>]", "[k lists beside other values]"}},
		{"JSON, declared", "{type: jsonl}", "{columns: [{name: e, type: list<int64>}, {name: rare, type: string}]}", map[string]string{"a": `{"e":[],"i":1}`}, []string{"i int64", "e list<int64>", "rare string"}},
	} {
		_, got, err := columnsOf(t, c.format, c.schema, c.objects)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	m, _, err := columnsOf(t, "{type: jsonl}", "{columns: [{name: rare, type: string}, {name: late, type: int64}]}", map[string]string{"a": `{"i":1}`})
	if err != nil || len(m.Warnings) != 1 || !strings.HasSuffix(m.Warnings[0], ": rare, late") {
		t.Errorf("columns that no row has: %+v, %v", m, err)
	}
	m, _, err = columnsOf(t, "{type: csv}", undeclared, map[string]string{"a/1": "x,y\n1,a\n2,b\n", "a/2": "y,z\nb,2\n", "a/3": "y\n"})
	if err != nil || len(m.Gaps) != 2 || m.Gaps[0].Column != "x" || m.Gaps[0].Rows != 1 || m.Gaps[1].Column != "z" || m.Gaps[1].Rows != 2 {
		t.Errorf("gaps: %+v, %v", m, err)
	}
	for name, c := range map[string]struct{ format, text, want string }{
		"a field twice":   {"{type: csv}", "a,b,a\n1,2,3\n", `"a" twice`},
		"broken header":   {"{type: csv}", "a,\"b\"c\n1,2\n", "text behind the closing quote"},
		"no names":        {"{type: csv, header: false}", "1,2\n", "do not say what their fields are"},
		"an array":        {"{type: jsonl}", "[{\"a\":1},\n{\"a\":2}]\n", "jq -c '.[]'"},
		"only a header":   {"{type: csv}", "a,b\n", `no record in 1 objects, but headers: the first is "a,b\n"`},
		"other encoding":  {"{type: csv}", "\xff\xfea\x00\n\x00", "encoding: utf-16"},
		"parquet":         {"{type: jsonl}", "PAR1....PAR1", "write format: {type: parquet}"},
		"no line feeds":   {"{type: csv}", "a,b\r1,2\r3,4\r", "carriage returns alone"},
		"much of them":    {"{type: csv}", strings.Repeat("a,b\r", 2<<20), "carriage returns alone"},
		"indented JSON":   {"{type: jsonl}", "{\n\"a\":1\n}\n", "one object a line"},
		"CSV, not JSON":   {"{type: jsonl}", "a,b\n1,2\n", "one object a line"},
		"other delimiter": {"{type: csv}", "a;b\n1;2\n", `its only field is "a;b"`},
	} {
		if _, _, err := columnsOf(t, c.format, undeclared, map[string]string{"a": c.text}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// Values of texts, in the order of the columns: what the decoder makes of them.
func TestValuesOfTexts(t *testing.T) {
	opener := storememory.NewOpener("lake")
	lake, err := opener.Bucket(t.Context(), "lake")
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ format, text, want string }{
		{`{type: csv, delimiter: ";", decimal_comma: true}`, "x;y;s\n1,5;+3;a,b\n-,25;-4;\n;;\"\"\n\"2,0\";1,0;\"x;\"\"y\"\n", `{[1.5 -0.25 (null) 2] [3 -4 (null) 1] ["a,b" (null) "" "x;\"y"]}`},
		{`{type: csv, null_text: "\\N", escape: "\\"}`, "x,y,s\n1,2,\\N\n2,3,\"\\\"q\\\\\"\n3,4,\"\\N\"\n4,5,\n", `bad: line 4`},
		{`{type: csv}`, "x,y,s\n\"\",\"1\",\"\"\n\"2\",\"\",\"a\"\n", `{[(null) 2] [1 (null)] ["" "a"]}`},
		{`{type: csv, null_text: NA}`, "s,x,y\n,1,NA\nNA,2.5,3\n", `{[1 2.5] [(null) 3] ["" (null)]}`},
		{`{type: csv, delimiter: ";", decimal_comma: true}`, "x;y;s\n1.5;1;a\n", "bad: line 2"},
		{`{type: csv, delimiter: ";", decimal_comma: true}`, "x;y;s\n1;1.000;a\n", "bad: line 2"},
		{`{type: csv, encoding: windows-1252}`, "x,y,s\n1,1,Stra\xdfe\n", `{[1] [1] ["Straße"]}`},
		{`{type: csv, quote: none}`, "x,y,s\n1,1,\"a\n", `{[1] [1] ["\"a"]}`},
		{`{type: jsonl}`, "{\"s\":\"\\u00e9\",\"x\":1}\n\n{\"y\":7.0}\n{}\n", `{[1 (null) (null)] [(null) 7 (null)] ["é" (null) (null)]}`},
		{`{type: jsonl}`, "{\"x\":1}\n{\"x\":1} {\n", "bad: line 2"},
		{`{type: jsonl}`, "{\"x\":1,\n\"y\":1}\n", "bad: line 1"},
	} {
		key := fmt.Sprint(i)
		if _, err := lake.Put(t.Context(), key, []byte(c.text)); err != nil {
			t.Fatal(err)
		}
		spec, err := pipeline.Parse(catalog.All(), "s.yaml", []byte(strings.Replace(ofFormat("*", c.format), "\n  preprocessing:",
			"\n  schema: {columns: [{name: x, type: float64}, {name: y, type: int64}, {name: s, type: string}]}\n  preprocessing:", 1)))
		if err != nil {
			t.Fatal(err)
		}
		from, err := Source(spec, DatasetFormats())
		if err != nil {
			t.Fatal(err)
		}
		from.Bucket, from.Pattern = lake, key
		m, schema, err := from.Discover(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(schema.Columns, func(a, b table.Column) int { return strings.Index("xys", a.Name) - strings.Index("xys", b.Name) })
		r, err := from.OpenRows(t.Context(), m, 0, schema, dataset.ReaderConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if batch, err := r.Next(); err != nil {
			got = "bad: " + thalwegLine(err)
		} else {
			words := batch.Column(2).(*array.Dictionary)
			var texts []string
			for row := range words.Len() {
				if words.IsNull(row) {
					texts = append(texts, "(null)")
				} else {
					texts = append(texts, fmt.Sprintf("%q", words.Dictionary().(*array.String).Value(words.GetValueIndex(row))))
				}
			}
			got = fmt.Sprintf("{%v %v %v}", batch.Column(0), batch.Column(1), texts)
			if !arrow.TypeEqual(batch.Column(3).DataType(), arrow.PrimitiveTypes.Int64) {
				t.Errorf("no row numbers: %v", batch.Schema())
			}
			batch.Release()
		}
		r.Close()
		if got != c.want {
			t.Errorf("%s %q: %s, want %s", c.format, c.text, got, c.want)
		}
	}
}

// thalwegLine returns the line that an error names.
func thalwegLine(err error) string {
	_, text, _ := strings.Cut(err.Error(), ", line ")
	line, _, _ := strings.Cut(text, ",")
	if !thalweg.Is(err, thalweg.Invalid) {
		return err.Error()
	}
	return "line " + line
}

// Rows of nested objects are the same as flat ones whose names are paths.
func TestNestedRowsAreReadAsFlatOnes(t *testing.T) {
	const declared = "{columns: [{name: id, type: int64}, {name: a.b, type: float64}, {name: a.c.d, type: string}, {name: a.late, type: bool}]}"
	nested := "{\"id\":1,\"a\":{\"b\":1,\"c\":{\"d\":\"x\"}}}\n{\"id\":2,\"a\":{\"c\":null}}\n{\"id\":3}\n"
	flat := "{\"id\":1,\"a.b\":1,\"a.c.d\":\"x\"}\n{\"id\":2}\n{\"id\":3}\n"
	var want []string
	for _, text := range []string{flat, nested} {
		for _, schema := range []string{"{timezone: UTC}", declared} {
			columns, rows, _, err := readAll(t, "jsonl", schema, map[string][]byte{"k": []byte(text)}, "id", "a.b", "a.c.d")
			if want == nil {
				want = rows
			}
			if err != nil || len(columns) != 3 || !slices.Equal(rows, want) || !slices.Equal(rows, []string{"1 1 x", "2 (null) (null)", "3 (null) (null)"}) {
				t.Errorf("%s, %s: %q, %q, %v", schema, text, columns, rows, err)
			}
		}
	}
	if _, _, _, err := readAll(t, "jsonl", declared, map[string][]byte{"k": []byte("{\"id\":1,\"a\":[]}\n")}); err == nil || !strings.Contains(err.Error(), `object k, line 1, byte 0: field "a.b": want an object in field "a", found array`) {
		t.Errorf("an array: %v", err)
	}
}
