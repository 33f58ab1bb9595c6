package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg/pipeline/profile"
)

func profiled(t *testing.T, args ...string) (p profile.Profile) {
	t.Helper()
	out, err := runLine(t, strings.Join(append([]string{"profile -o json"}, args...), " "))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// The same rows have the same profile as Parquet, CSV and JSON lines, in one file or in
// several.
func TestAProfileDoesNotDependOnTheFormOfTheFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "parts"), 0o755); err != nil {
		t.Fatal(err)
	}
	const rows = 500
	id := func(row int) any { return row * row }
	share := func(row int) any {
		if row%7 == 0 {
			return nil
		}
		return float64(row%20) + 0.25
	}
	town := func(row int) any { return []string{"Åre", "a, \"b\"", "Oslo"}[row%3] }
	writeTable(t, filepath.Join(dir, "all.parquet"), rows, tableColumn{"id", arrow.PrimitiveTypes.Int64, id},
		tableColumn{"share", arrow.PrimitiveTypes.Float64, share}, tableColumn{"town", arrow.BinaryTypes.String, town})
	var csv, jsonl strings.Builder
	csv.WriteString("id,share,town\n")
	for row := rows - 1; row >= 0; row-- {
		number, text := "", strings.ReplaceAll(fmt.Sprint(town(row)), `"`, `""`)
		if v := share(row); v != nil {
			number = fmt.Sprint(v)
		}
		fmt.Fprintf(&csv, "%v,%s,\"%s\"\n", id(row), number, text)
		line, err := json.Marshal(map[string]any{"id": id(row), "share": share(row), "town": town(row)})
		if err != nil {
			t.Fatal(err)
		}
		jsonl.Write(append(line, '\n'))
		if row == rows/3 {
			put(t, filepath.Join(dir, "parts", "1.jsonl"), jsonl.String())
			jsonl.Reset()
		}
	}
	put(t, filepath.Join(dir, "all.csv"), csv.String())
	put(t, filepath.Join(dir, "parts", "2.jsonl"), jsonl.String())
	want := fmt.Sprint(jsonOf(t, profiled(t, "--from", filepath.Join(dir, "all.parquet"))))
	for _, from := range []string{"all.csv", "parts"} {
		if got := fmt.Sprint(jsonOf(t, profiled(t, "--from", filepath.Join(dir, from)))); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", from, got, want)
		}
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// No rows, and columns without a value, have a profile too.
func TestFilesWithoutRowsOrValuesHaveAProfile(t *testing.T) {
	dir := t.TempDir()
	null := func(int) any { return nil }
	columns := []tableColumn{{"n", arrow.PrimitiveTypes.Int64, null}, {"s", arrow.BinaryTypes.String, null}, {"x", arrow.PrimitiveTypes.Float64, null}, {"none", arrow.Null, null}}
	writeTable(t, filepath.Join(dir, "empty.parquet"), 0, columns...)
	writeTable(t, filepath.Join(dir, "null.parquet"), 40, columns...)
	put(t, filepath.Join(dir, "empty.csv"), "a,b\n")
	for file, rows := range map[string]int64{"empty.parquet": 0, "null.parquet": 40} {
		p := profiled(t, "--from", filepath.Join(dir, file))
		for _, c := range p.Columns {
			if p.Rows != rows || c.Nulls != rows || c.Distinct != 0 || c.Numbers != nil {
				t.Errorf("%s: %+v", file, c)
			}
		}
		if out, err := runLine(t, "profile --from "+filepath.Join(dir, file)); err != nil || strings.Contains(out, "NaN") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
	for _, line := range []string{"profile", "profile --from " + filepath.Join(dir, "absent.csv"), "profile --from " + filepath.Join(dir, "empty.csv")} {
		if _, err := runLine(t, line); err == nil {
			t.Errorf("%s: no error", line)
		}
	}
}

// A page is written beside what is printed, and two profiles are compared.
func TestProfilesAreComparedAndShownOnAPage(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	var early, late strings.Builder
	for i := range 400 {
		fmt.Fprintf(&early, "{\"x\": %d, \"mail\": \"p%d@example.org\", \"bought\": %t}\n", i%100, i, i%100 > 60)
		fmt.Fprintf(&late, "{\"x\": %d, \"mail\": null, \"paid\": 1.5}\n", i%100+50)
	}
	put(t, file("early.jsonl"), early.String())
	put(t, file("late.jsonl"), late.String())
	put(t, file("early.json"), jsonOf(t, profiled(t, "--from", file("early.jsonl"), "--label", "bought", "--html", file("early.html"))))
	put(t, file("late.json"), jsonOf(t, profiled(t, "--from", file("late.jsonl"))))
	out, err := runLine(t, "profile --from "+file("early.jsonl")+" --label bought")
	if err != nil || !strings.Contains(out, "may hold e-mail addresses: 100 % of its values have the form, and its name says so (high confidence)") ||
		!strings.Contains(out, "x: predicts the label alone") {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = runLine(t, "profile diff "+file("early.json")+" "+file("late.json")+" --html "+file("diff.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bought  bool", "gone", "paid", "new", "much has shifted"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for _, name := range []string{"early.html", "diff.html"} {
		if page, err := os.ReadFile(file(name)); err != nil || !strings.Contains(string(page), "<svg") {
			t.Errorf("%s: %v, %.200s", name, err, page)
		}
	}
	for line, want := range map[string]string{
		"profile --from " + file("early.jsonl") + " --label nope":        "read --label",
		"profile diff " + file("early.json") + " " + file("early.jsonl"): "give what",
		"profile diff " + file("early.json"):                             "AFTER is missing",
	} {
		if _, err := runLine(t, line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

// The cleaned rows are those that clean writes, each in its split, and a condition
// chooses some of them.
func TestCleanedRowsHaveAProfile(t *testing.T) {
	const of = "profile -o json -f ../../deploy/demo/flights.yaml --from ../../deploy/demo/flights.parquet "
	rows := map[string]int64{}
	for _, line := range []string{of, of + "--cleaned", of + "--cleaned --where _split=='train'", of + "--where delay>15 --label distance<500"} {
		out, err := runLine(t, line)
		if err != nil {
			t.Fatal(err)
		}
		var p profile.Profile
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatal(err)
		}
		rows[line[len(of):]] = p.Rows
		if c := p.Columns[len(p.Columns)-1]; strings.Contains(line, "--cleaned") && (c.Name != "_split" || c.Distinct != int64(len(c.Top))) {
			t.Errorf("%s: the last column is %+v", line, c)
		}
	}
	out, err := runLine(t, "clean -o json -f ../../deploy/demo/flights.yaml --data ../../deploy/demo/flights.parquet --into "+filepath.Join(t.TempDir(), "rows.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	var cleaned struct{ Splits, Dropped map[string]int64 }
	if err := json.Unmarshal([]byte(out), &cleaned); err != nil {
		t.Fatal(err)
	}
	if rows[""] != 300_000 || rows["--cleaned --where _split=='train'"] != cleaned.Splits["train"] || rows["--where delay>15 --label distance<500"] == 0 || rows["--where delay>15 --label distance<500"] > 100_000 {
		t.Errorf("rows %v; clean says %+v", rows, cleaned)
	}
	for line, want := range map[string]string{"--where delay": "it is int64", "--where nope": "read --where", "--label nope": "read --label"} {
		if _, err := runLine(t, of+line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if _, err := runLine(t, "profile --from x --cleaned"); err == nil || !strings.Contains(err.Error(), "-f SPEC") {
		t.Errorf("--cleaned without a spec: %v", err)
	}
}

// Cleaned rows have the columns of the tables that they are joined to.
func TestCleanedRowsThatAreJoinedHaveAProfile(t *testing.T) {
	store, spec := t.TempDir(), filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.Mkdir(filepath.Join(store, "lake"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(store, "lake", "airports.csv"), "iata,elevation\nJFK,13\nLAX,128\n")
	put(t, filepath.Join(store, "lake", "flights.csv"), "origin,distance,delay\n"+strings.Repeat("JFK,100,3\nLAX,2000,40\nOSL,300,20\n", 40))
	put(t, spec, strings.NewReplacer("flights/*.parquet", "flights.csv", "type: parquet", "type: csv").Replace(specOf("joined", delayedByDistance+`
  lookups: [{name: airports, s3: {path: "s3://lake/airports.csv"}, format: {type: csv}, key: {origin: iata}, columns: [elevation]}]
  preprocessing: {clean: [{lookup: {table: airports}}]}
`)))
	p := profiled(t, "-f", spec, "--cleaned", "--store", "file://"+store)
	i := slices.IndexFunc(p.Columns, func(c profile.Column) bool { return c.Name == "elevation" })
	if i < 0 || p.Rows != 120 || p.Columns[i].Nulls != 40 || p.Columns[i].Distinct != 2 {
		t.Errorf("%d rows, column %d of %+v", p.Rows, i, p.Columns)
	}
}

// Exact numbers of the demo's flights, as DuckDB has them: SUMMARIZE, and count(DISTINCT),
// quantile_cont and stddev_pop of version 2.0.1; of the times, of which it has 145,718
// different ones, the number is estimated.
func TestAProfileOfFlightsIsAsDuckDBHasIt(t *testing.T) {
	p := profiled(t, "--from", "../../deploy/demo/flights.parquet")
	for i, want := range wantFlights {
		c := p.Columns[i]
		got := fmt.Sprint(c.Name, " ", p.Rows, " ", c.Nulls, " ", c.Distinct, " ", c.Min, " ", c.Max)
		if n := c.Numbers; n != nil && c.Type == "int64" {
			got += fmt.Sprintf(" %.6f %.6f %v %v %v", n.Mean, n.Deviation, n.Quantiles[3].Value, n.Quantiles[4].Value, n.Quantiles[8].Value)
		}
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

var wantFlights = []string{
	"date 300000 0 145662 2001-01-01T00:01:00Z 2001-07-01T00:00:00Z",
	"delay 300000 0 509 -87 1423 6.622683 32.440971 -9 -1 138",
	"distance 300000 0 1102 21 4962 732.858493 575.491895 312 571 2556",
	"origin 300000 0 228 ABE YAK",
	"destination 300000 0 228 ABE YAK",
}
