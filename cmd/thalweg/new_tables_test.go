package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/apache/arrow/go/v15/parquet"
	"github.com/apache/arrow/go/v15/parquet/pqarrow"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
)

// tableColumn is a column of a test's table; value returns that of a row, nil where
// it is missing.
type tableColumn struct {
	name  string
	typ   arrow.DataType
	value func(row int) any
}

// writeTable writes rows of columns as Parquet, as other programs do.
func writeTable(t *testing.T, file string, rows int, columns ...tableColumn) {
	t.Helper()
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.name, Type: c.typ, Nullable: true}
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for row := range rows {
		for i, c := range columns {
			value := c.value(row)
			if value == nil {
				b.Field(i).AppendNull()
			} else if err := b.Field(i).AppendValueFromString(fmt.Sprint(value)); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
	}
	rec := b.NewRecord()
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(rec.Schema(), &out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var (
	aNumber = arrow.PrimitiveTypes.Float64
	aWhole  = arrow.PrimitiveTypes.Int64
	aText   = arrow.BinaryTypes.String
	aTruth  = arrow.FixedWidthTypes.Boolean
)

// Whatever a table has, the spec that is drafted for it is valid, and trains, with a
// stream, without a warning; what each column became is said.
func TestDraftsOfAllKindsOfTablesTrain(t *testing.T) {
	const rows = 800
	random := rand.New(rand.NewPCG(3, 4))
	var signal []float64
	var outcome []bool
	for range rows {
		x := random.NormFloat64()
		signal, outcome = append(signal, x), append(outcome, 2*x+random.NormFloat64() > 0)
	}
	x := tableColumn{"x", aNumber, func(i int) any { return signal[i] }}
	y := tableColumn{"y", aTruth, func(i int) any { return outcome[i] }}
	choice := func(values ...string) func(int) any { return func(int) any { return values[random.IntN(len(values))] } }
	where := func(yes, no any) func(int) any {
		return func(i int) any {
			if outcome[i] {
				return yes
			}
			return no
		}
	}
	at := func(i int) time.Time { return time.Date(2024, 1, 1, 0, 37*i, 0, 0, time.UTC) }
	noise := func(int) any { return random.NormFloat64() }

	c := parallelDev(t, embedded.Config{})
	for _, tc := range []struct {
		name, label string
		columns     []tableColumn
		want        []string // in the spec
		without     []string
	}{
		{"all text", "bought", []tableColumn{{"size", aText, choice("s", "m", "l")}, {"side", aText, where("left", "right")}, {"colour", aText, choice("red", "blue")},
			{"mood", aText, func(i int) any {
				if outcome[i] == (random.IntN(5) > 0) {
					return "good"
				}
				return "bad"
			}}, {"bought", aText, where("Yes", "No")}},
			[]string{"metadata: {name: all-text}", "- {name: size, type: category}  # 3 values", `# left out: side: it predicts the label alone`, `{name: bought_is, type: binary, expression: "bought == \"Yes\""}`}, nil},
		{"one number", "price", []tableColumn{x, {"price", aNumber, func(i int) any { return 3*signal[i] + random.NormFloat64() }}},
			[]string{"- {name: x, type: number}", "- {name: price, type: number}"}, []string{"preprocessing"}},
		{"times", "y", []tableColumn{x, y,
			{"born", arrow.FixedWidthTypes.Date32, func(int) any { return at(random.IntN(50_000)).Format(time.DateOnly) }},
			{"made", &arrow.TimestampType{Unit: arrow.Millisecond}, func(i int) any { return at(i).Format("2006-01-02T15:04:05") }},
			{"iso", aText, func(i int) any { return at(i).Format(time.RFC3339) }},
			{"day", aText, func(i int) any { return at(i).Format(time.DateOnly) }},
			{"american", aText, func(i int) any { return at(i).Format("01/02/2006") }},
			{"sent_at", aWhole, func(i int) any { return at(i).Unix() }},
			{"seen_at", aWhole, func(i int) any { return at(rows - i).UnixMilli() }},
			{"amount", aWhole, func(i int) any { return at(random.IntN(i + 1)).Unix() }},
			{"clock", arrow.FixedWidthTypes.Time64us, func(i int) any { return at(i).Format("15:04:05") }}},
			[]string{"column: made, probabilities", `{name: born_weekday, type: category, expression: "weekday(born)"}`, "cast: {column: iso, type: timestamp}", "day_weekday",
				"# left out: american: it looks like dates", `derive: {column: sent_at, expression: "sent_at * 1000000"}`, `"seen_at * 1000"`, "- {name: amount, type: number}"},
			[]string{"born_hour", "day_hour", "cast: {column: amount"}},
		{"times as text alone", "y", []tableColumn{x, y, {"when", aText, func(i int) any { return at(i).Format(time.DateTime) }}}, []string{"split: {type: datetime, column: when"}, nil},
		{"two days", "y", []tableColumn{x, y, {"day", arrow.FixedWidthTypes.Date32, func(i int) any { return at(i % 40).Format(time.DateOnly) }}}, nil, []string{"split:"}},
		{"labels that are not known yet", "y", []tableColumn{x, {"y", aTruth, func(i int) any { return []any{outcome[i], nil}[i/600] }}, {"at", &arrow.TimestampType{Unit: arrow.Second}, func(i int) any { return at(i).Format("2006-01-02T15:04:05") }}}, nil, []string{"split:"}},
		{"identifiers", "y", []tableColumn{x, y, {"seq", aWhole, func(i int) any { return i }}, {"customer_id", aWhole, func(int) any { return random.IntN(50) }},
			{"orderID", aWhole, func(i int) any { return 7919 * i % 800 }}, {"mail", aText, func(int) any { return fmt.Sprintf("u%d@example.org", random.IntN(rows)) }},
			{"zip", aText, choice("01234", "55555")}, {"paid", aWhole, func(int) any { return random.IntN(50) }}},
			[]string{"out: seq: it looks", "out: customer_id: it looks", "out: orderID: it looks", "out: mail: it looks", "{name: zip, type: category}", "{name: paid, type: number}"}, nil},
		{"leaks", "y", []tableColumn{x, y, {"copy", aTruth, where(true, false)}, {"refund", aNumber, where(nil, 1.0)}, {"minus", aNumber, where(-1, 0)}, {"status", aText, where("done", "open")}},
			[]string{"out: copy: it predicts", "out: refund: it has one value where it is not missing", "out: minus: it predicts", "out: status: it predicts"}, nil},
		{"constants", "y", []tableColumn{x, y, {"c", aNumber, func(int) any { return 14.62 }}, {"s", aText, choice("a")}, {"none", aText, func(int) any { return nil }}, {"null", arrow.Null, func(int) any { return nil }}},
			[]string{"out: c: it has one value", "out: s: it has one value", "out: none: it is null in every row", `out: "null": no feature is made of null`}, nil},
		{"missing values", "y", []tableColumn{{"x", aNumber, func(i int) any { return []any{signal[i], nil}[i%3/2] }}, {"nan", aNumber, func(i int) any { return []string{fmt.Sprint(signal[i]), "NaN"}[i%4/3] }},
			{"rare", aText, func(i int) any { return []any{nil, "a", "b"}[max(0, i%20-17)] }}, {"y", aTruth, func(i int) any { return []any{outcome[i], nil}[i%10/9] }}},
			[]string{"# -", "missing in 33 %", "missing in 25 %", "{name: rare, type: category}"}, []string{"NaN"}},
		{"label by number", "y", []tableColumn{x, {"y", aWhole, where(2, 1)}}, []string{`{name: y_is, type: binary, expression: "y == 2"}`}, nil},
		{"label by condition", "label > 15", []tableColumn{x, {"label", aNumber, func(i int) any { return 15 + signal[i] + random.NormFloat64() }}}, []string{`{name: label_is, type: binary, expression: "label > 15"}`}, nil},
		{"label where there is one", "y != null", []tableColumn{x, {"y", aText, where("Y", nil)}}, []string{`expression: "y != null"`}, nil},
		{"odd names", `$env["is it?"]`, []tableColumn{x, {"is it?", aTruth, where(true, false)}, {"a b", aNumber, noise}, {"x.y", aNumber, noise}, {"größe", aNumber, noise}, {"yes", aText, choice("a", "b")}, {"it's", aNumber, noise},
			{`"q"`, aNumber, noise}, {"a: b #c", aText, choice("a", "b")}, {"$x", aNumber, noise}, {"1st", aNumber, noise}, {"new\nline", aNumber, noise}, {"not", aNumber, noise},
			{"in", &arrow.TimestampType{Unit: arrow.Microsecond}, func(i int) any { return at(i).Format("2006-01-02T15:04:05") }}, {"_private", aNumber, noise}, {"_offset", aNumber, noise},
			{"prediction", aNumber, noise}, {"X", aNumber, noise}, {"", aNumber, noise}, {"😀", aNumber, noise}, {"\u200b", aNumber, noise}},
			[]string{"{name: in_hour, type: category, expression: \"hour(`in`)\"}", "out: _private: names that begin with _", "out: prediction: scored rows", "out: X: scored rows", `{name: "new\nline"`}, nil},
		{"other types", "y", []tableColumn{x, y, {"flag", aTruth, func(int) any { return random.IntN(2) == 0 }}, {"price", &arrow.Decimal128Type{Precision: 10, Scale: 2}, func(i int) any { return fmt.Sprintf("%.2f", signal[i]) }},
			{"small", arrow.PrimitiveTypes.Uint8, func(int) any { return random.IntN(255) }}, {"bytes", arrow.BinaryTypes.Binary, func(int) any { return "eA==" }}, {"list", arrow.ListOf(aWhole), func(i int) any { return fmt.Sprintf("[%d,%d]", i%7, i%5) }},
			{"names", arrow.ListOf(arrow.BinaryTypes.String), func(int) any { return `["a"]` }},
			{"worth", aText, func(i int) any { return fmt.Sprintf("%.3f", signal[i]+random.NormFloat64()) }}},
			[]string{"{name: flag, type: category}", "{name: price, type: number}", "out: bytes: no feature is made of binary", "{name: list, type: list, length: 2}", "out: names: no feature is made of ", "cast: {column: worth, type: float64}", "{name: worth, type: number}"}, nil},
		{"2024", "y", []tableColumn{x, y}, []string{`metadata: {name: "2024"}`}, nil},
	} {
		file, spec := filepath.Join(t.TempDir(), tc.name+".parquet"), filepath.Join(t.TempDir(), "spec.yaml")
		writeTable(t, file, rows, tc.columns...)
		drafted, err := command(t, c, "new", "--from", file, "--label", tc.label, "--topic", strings.ReplaceAll(tc.name, " ", "-"))
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		put(t, spec, drafted)
		for _, want := range tc.want {
			if !strings.Contains(drafted, want) {
				t.Errorf("%s: no %q in\n%s", tc.name, want, drafted)
			}
		}
		for _, not := range tc.without {
			if strings.Contains(drafted, not) {
				t.Errorf("%s: %q in\n%s", tc.name, not, drafted)
			}
		}
		_, next, _ := strings.Cut(drafted, "s3: {path: \"")
		folder, _, _ := strings.Cut(next, "*")
		for _, args := range [][]string{{"put", file, folder}, {"validate", spec, "--data", file}, {"validate", spec, "--data", folder}, {"apply", "-f", spec, "--wait"}} {
			out, err := command(t, c, args...)
			if err != nil || args[0] == "apply" && (!strings.Contains(out, "succeeded") || strings.Contains(out, "warning")) {
				t.Errorf("%s: %s: %v\n%s\nof\n%s", tc.name, strings.Join(args, " "), err, out, drafted)
			}
		}
	}
}

// textRows writes rows of a number and a truth.
func textRows(rows int, header, row string) string {
	for i := range rows {
		header += fmt.Sprintf(row, i%7, i%7 > i%5)
	}
	return header
}

// Data is named the same way wherever it lies: a file, a folder, a pattern, and a
// prefix of a store.
func TestDataIsAFileAFolderAPatternOrAPrefix(t *testing.T) {
	store, here := t.TempDir(), t.TempDir()
	table := []tableColumn{{"x", aNumber, func(i int) any { return i % 7 }}, {"y", aTruth, func(i int) any { return i%7 > i%5 }}}
	lake := filepath.Join(store, "lake")
	for _, dir := range []string{here, lake} {
		writeTable(t, filepath.Join(dir, "flat/a.parquet"), 10, table...)
		writeTable(t, filepath.Join(dir, "flat/b [1].parquet"), 20, table...)
		writeTable(t, filepath.Join(dir, "days/day=1/part.parquet"), 40, table...)
		writeTable(t, filepath.Join(dir, "days/day=2/part.parquet"), 80, table...)
		writeTable(t, filepath.Join(dir, "days/_temporary/part.parquet"), 160, table...)
		put(t, filepath.Join(dir, "flat/notes.txt"), "no table")
		put(t, filepath.Join(dir, "flat/people.csv"), "a,b\n")
		for _, folder := range []string{"text", "lines/day=1", "lines/day=2"} {
			if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		put(t, filepath.Join(dir, "text/people.csv"), textRows(30, "x;y\n", "%d;%t\n"))
		put(t, filepath.Join(dir, "text/README"), "no table")
		put(t, filepath.Join(dir, "lines/day=1/a.ndjson"), textRows(20, "", "{\"x\":%d,\"y\":%t,\"deep\":{\"z\":1}}\n"))
		put(t, filepath.Join(dir, "lines/day=2/a.ndjson"), textRows(20, "", "{\"x\":%d,\"y\":%t}\n"))
	}
	if err := os.Symlink(filepath.Join(here, "flat"), filepath.Join(here, "link")); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(append([]string{"--store", "file://" + store}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	spec := filepath.Join(here, "spec.yaml")
	t.Chdir(here)
	for _, c := range []struct {
		from, path string
		rows       int
	}{
		{"flat/a.parquet", "s3://lake/a/*.parquet", 10},
		{"flat/b [1].parquet", "s3://lake/b-1/*.parquet", 20},
		{"flat", "s3://lake/flat/*.parquet", 30},
		{"flat/", "s3://lake/flat/*.parquet", 30},
		{"link", "s3://lake/link/*.parquet", 30},
		{"./flat/*.parquet", "s3://lake/flat/*.parquet", 30},
		{filepath.Join(here, "days"), "s3://lake/days/**/*.parquet", 120},
		{"days/*/part.parquet", "s3://lake/part/**/*.parquet", 120},
		{"days/**/*.parquet", "s3://lake/days/**/*.parquet", 120},
		{"s3://lake/flat", "s3://lake/flat/*.parquet", 30},
		{"s3://lake/flat/", "s3://lake/flat/*.parquet", 30},
		{"s3://lake/flat/a.parquet", "s3://lake/flat/a.parquet", 10},
		{"s3://lake/days/", "s3://lake/days/**/*.parquet", 120},
		{"s3://lake/days/*/part.parquet", "s3://lake/days/*/part.parquet", 120},
		{"text/people.csv", "s3://lake/people/*.csv\"}, format: {type: csv, delimiter: \";", 30},
		{"text", "s3://lake/text/*.csv\"}, format: {type: csv, delimiter: \";", 30},
		{"s3://lake/text/", "s3://lake/text/*.csv\"}, format: {type: csv, delimiter: \";", 30},
		{"lines", "s3://lake/lines/**/*.ndjson\"}, format: {type: jsonl}}", 40},
		{"s3://lake/lines", "s3://lake/lines/**/*.ndjson\"}, format: {type: jsonl}}", 40},
	} {
		out, err := run("new", "--from", c.from, "--label", "y")
		if err != nil || !strings.Contains(out, fmt.Sprintf("first %d rows", c.rows)) || !strings.Contains(out, "path: \""+c.path) {
			t.Errorf("%s: %v\n%s", c.from, err, out)
		}
		put(t, spec, out)
		if out, err := run("validate", spec, "--data", c.from); err != nil {
			t.Errorf("validate --data %s: %v\n%s", c.from, err, out)
		}
	}
	for from, want := range map[string]string{
		"":                         "it is empty",
		"flt":                      "flt: no such file",
		"flat/*.parq":              "there is no file flat/*.parq",
		"flat/people.csv":          "no record in 1 objects",
		"s3://lake/nothing":        "nothing/**/*.parquet: no object matches",
		"s3://lake/flat/none-*":    "no object matches",
		"s3://pond/flat/":          "pond",
		"s3://lake/flat/notes.txt": "notes.txt",
	} {
		if _, err := run("new", "--from", from, "--label", "y"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", from, err, want)
		}
	}
}

// Data in a store that an operator named is read there, and the spec says so; validate
// goes by the spec.
func TestADraftNamesTheConnectionOfItsData(t *testing.T) {
	store, dir := t.TempDir(), t.TempDir()
	writeTable(t, filepath.Join(store, "pond/ducks/1.parquet"), 40, tableColumn{"x", aNumber, func(i int) any { return i % 7 }}, tableColumn{"y", aTruth, func(i int) any { return i%7 > i%5 }})
	connections, spec := filepath.Join(dir, "connections.yaml"), filepath.Join(dir, "spec.yaml")
	put(t, connections, "connections:\n  far: {directory: "+store+"}\n")
	out, err := runLine(t, "new --connections "+connections+" --connection far --from s3://pond/ducks/ --label y --topic ducks")
	for _, want := range []string{`train: {connection: far, s3: {path: "s3://pond/ducks/*.parquet"}`, `sink: {connection: far, s3: {path: "s3://pond/scored/ducks/"}`} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: no %s in\n%s", err, want, out)
		}
	}
	put(t, spec, out)
	if out, err := runLine(t, "validate "+spec+" --connections "+connections+" --data s3://pond/ducks"); err != nil {
		t.Errorf("validate: %v\n%s", err, out)
	}
}

// What a folder has beside the files that are read is not left out unsaid.
func TestAFolderOfFilesCompressedInTwoWaysIsRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	rows := "x,late\n" + strings.Repeat("1,0\n2,1\n3,1\n1,1\n2,0\n3,0\n", 20)
	for _, name := range []string{"a.csv", "b.csv.gz", "c.json"} {
		put(t, name, rows)
	}
	if out, err := runLine(t, "new --from . --label late"); err == nil || !strings.Contains(err.Error(), "end in .csv, and in .csv.gz") {
		t.Errorf("%s %v", out, err)
	}
	if err := os.Remove("b.csv.gz"); err != nil {
		t.Fatal(err)
	}
	if out, err := runLine(t, "new --from . --label late"); err != nil {
		t.Errorf("%s %v", out, err)
	}
}
