package pipeline_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/integration/effort"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/document"
)

// hostileBytes is what refusing a hostile spec may allocate.
const hostileBytes = 16 << 20

// rows writes n items one after the other.
func rows(n int, one func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(one(i))
	}
	return b.String()
}

// hostileSpecs returns texts by name that cost a reader much if it lets them: longer, deeper,
// wider and with larger numbers than any spec needs. Most of them are as large as the bounds
// allow, or a little larger.
func hostileSpecs(t testing.TB) map[string]string {
	flights := string(read(t, "flights.yaml"))
	const room = pipeline.MaxSpecBytes - 2000
	put := func(old, text string) string {
		before, after, ok := strings.Cut(flights, old)
		if !ok {
			t.Fatalf("flights.yaml has no %q", old)
		}
		return before + text + after
	}
	name := func(text string) string { return put("name: flight-delays", "name: "+text) }
	label := func(text string) string { return put("delay > 15", text) }
	section := func(text string) string { return put("  scoring:", "  "+text+"\n  scoring:") }
	features := func(text string) string { return put("  output_features:", text+"  output_features:") }
	clean := func(steps string) string { return put("    split:", "    clean: ["+steps+"]\n    split:") }
	replace := func(pattern string) string { return "{replace: {column: origin, pattern: '" + pattern + "', with: y}}" }
	block := func(n int) string { return rows(n, func(i int) string { return fmt.Sprintf(" a%d: 1\n", i) }) }
	number := func(i int) string { return fmt.Sprintf("a%d: x, ", i) }
	return map[string]string{
		"100 MB of text":          strings.Repeat("a: b\n", 20<<20),
		"brackets":                name(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)),
		"braces":                  strings.Repeat("{a: ", 10_000) + strings.Repeat("}", 10_000),
		"mappings in mappings":    rows(700, func(i int) string { return strings.Repeat(" ", i) + "a:\n" }),
		"lists in lists":          strings.Repeat("- ", room/2),
		"lists in lists, by line": strings.Repeat("- - - a\n", 9_000),
		"nulls":                   "[" + strings.Repeat("a,", room/2) + "]",
		"commas":                  "[" + strings.Repeat(",", room) + "]",
		"colons":                  strings.Repeat(": ", room/2),
		"quotes":                  strings.Repeat(`"`, room),
		"quoted nothings":         "[" + strings.Repeat("'',", 7_000) + "]",
		"anchors":                 strings.Repeat("&a ", room/3),
		"tags":                    name(strings.Repeat("!!str ", room/6) + "x"),
		"aliases":                 "a: &a [x, x]\n" + rows(50, func(i int) string { return fmt.Sprintf("b%d: &b%d [*a, *a]\n", i, i) }),
		"an anchor in itself":     "a: &a [*a]\n",
		"a merge":                 "a: &a {x: 1}\nb: {<<: *a}\n",
		"documents":               strings.Repeat("---\na: 1\n", 4_000),
		"carriage returns":        strings.Repeat("a: 1\r", room/5),
		"one mapping":             block(1_400),
		"more than one mapping":   rows(10, func(i int) string { return fmt.Sprintf("a%d:\n", i) + block(1_000) }),
		"mappings in a list":      "a:\n" + strings.Repeat(" - a: 1\n", 5_000),
		"a long name of many":     strings.Repeat("n", 1_000) + ":\n" + strings.Repeat(" - a: 1\n", 5_000),
		"long names of many": rows(60, func(i int) string { return strings.Repeat(" ", i) + strings.Repeat("k", 100) + ":\n" }) +
			rows(4_000, func(int) string { return strings.Repeat(" ", 60) + "- a: 1\n" }),
		"explicit names":               strings.Repeat("? a\n: b\n", 1_000),
		"the same field":               "a: {" + strings.Repeat("a: 1, ", 5_000) + "}\n",
		"a field twice":                section("trainer: {epochs: 1, epochs: 2}"),
		"a null character":             name("\"a\x00\""),
		"bytes that are no text":       name("\"a\xff\xfe\""),
		"half a surrogate":             name(`"\ud800"`),
		"a name of a megabyte":         name(strings.Repeat("n", 1<<20)),
		"a name of what is read":       name(strings.Repeat("n", room)),
		"names of 60 KiB":              features(rows(4, func(int) string { return "    - {name: " + strings.Repeat("n", 60<<10) + ", type: number}\n" })),
		"unknown fields of 60 KiB":     features(rows(4, func(int) string { return "    - {" + strings.Repeat("n", 60<<10) + ": a, type: number}\n" })),
		"control characters":           name(`"a\x07\e[31m"`),
		"control characters, raw":      name("\"a\x07\x1b[31m\""),
		"a column's control character": put("name: distance,", "name: \"a\\x07\\e[31m\","),
		"10^9 replicas":                section("trainer: {distributed: {replicas: 1000000000}}"),
		"10^9 buckets":                 put(`"hour(date)"`, `"hour(date)", encoder: {type: hash, buckets: 1000000000}`),
		"10^9 units":                   section("model: {type: mlp, hidden: [1000000000, 1000000000]}"),
		"10^9 trials":                  section("search: {metric: roc_auc, max_trials: 1000000000, parameters: {model.dropout: {space: uniform, lower: 0.1, upper: 0.5}}}"),
		"10^9 rows of a shard":         put("s3://lake/flights/*.parquet\"}", "s3://lake/flights/*.parquet\"}, shard_rows: 1000000000000"),
		"10^6 features":                features(rows(1_000_000, func(i int) string { return fmt.Sprintf("    - {name: f%d, type: number}\n", i) })),
		"a number beyond all":          section("trainer: {regularization: {l2: 1e309}}"),
		"no number":                    section("trainer: {regularization: {l2: .nan}}"),
		"an infinite number":           section("trainer: {regularization: {l2: .inf}}"),
		"digits":                       section("trainer: {epochs: " + strings.Repeat("9", room) + "}"),
		"a cron of 100 KB":             section("schedule: {cron: \"" + strings.Repeat("0,", 50_000) + "0 2 * * *\"}"),
		"a time zone of the disk":      section("schedule: {cron: \"0 2 * * *\", timezone: ../../../etc/passwd}"),
		"a pattern of 200 KB":          clean(replace(strings.Repeat("x{1000}", room/8))),
		"a pattern of classes":         clean(replace(`(?i)` + strings.Repeat(`\pL`, 20_000))),
		"counts in counts":             clean(replace("(a{1000}){1000}")),
		"small counts in counts":       clean(replace("((a{100}){10}){10}")),
		"groups in groups":             clean(replace(strings.Repeat("(", 10_000) + strings.Repeat(")", 10_000))),
		"patterns":                     clean(strings.Repeat(replace("x{1000}")+", ", 200)),
		"patterns of tests":            section("tests: [" + strings.Repeat("{column: origin, regex: 'x{1000}'}, ", 100) + "]"),
		"patterns of expressions": features(rows(200, func(i int) string {
			return fmt.Sprintf("    - {name: f%d, type: category, expression: \"origin matches 'x{1000}'\"}\n", i)
		})),
		"patterns of one expression": label("origin matches '" + strings.Repeat("x{900}", 5) + "'" + strings.Repeat(" or origin matches 'x{1000}'", 100)),
		"parentheses":                label(strings.Repeat("(", 10_000) + "delay" + strings.Repeat(")", 10_000)),
		"operators":                  label(strings.Repeat("-", 4_000) + "delay"),
		"a sum of 60 KiB":            label(strings.Repeat("delay + ", 7_000) + "delay"),
		"SQL":                        label(strings.Repeat("CASE WHEN delay IS NULL THEN 1 ", 120)),
		"columns of each other":      clean("{derive: {column: a, expression: b + 1}}, {derive: {column: b, expression: a + 1}}"),
		"features of each other":     put("- {name: distance,    type: number}", "- {name: a, type: number, expression: b + 1}\n    - {name: b, type: number, expression: a + 1}"),
		"a table of itself":          put("  preprocessing:", "  lookups: [{name: a, s3: {path: \"s3://lake/a.csv\"}, key: a}]\n  preprocessing:\n    clean: [{lookup: {table: a, key: {a: a}}}]"),
		"columns that double": clean("{derive: {column: c0, expression: origin + origin}}, " + rows(198, func(i int) string {
			return fmt.Sprintf("{derive: {column: c%d, expression: c%d + c%d}}, ", i+1, i, i)
		}) + "{derive: {column: x, expression: nothing}}"),
		"steps":                  clean(strings.Repeat("{derive: {column: c, expression: origin}}, ", 1_400)),
		"stars":                  clean("{trim: {columns: ['" + strings.Repeat("*a", 30<<10) + "']}}"),
		"patterns of columns":    clean("{trim: {columns: [" + strings.Repeat("'*a*', ", 5_000) + "]}}"),
		"labels":                 put("name: flight-delays", "name: FLIGHTS, labels: {"+rows(5_000, number)+"}"),
		"parameters of a search": section("search: {metric: roc_auc, parameters: {" + rows(900, func(i int) string { return fmt.Sprintf("trainer.x%d: {space: choice, values: [1, 2]}, ", i) }) + "}}"),
		"values of a search": section("search: {metric: roc_auc, algorithm: {type: grid}, parameters: {" + rows(10, func(i int) string {
			return fmt.Sprintf("trainer.x%d: {space: choice, values: [%s1]}, ", i, strings.Repeat("1, ", 500))
		}) + "}}"),
		"tests": section("tests: [" + strings.Repeat("{column: origin, not_null: true}, ", 1_000) + "]"),
	}
}

// A hostile spec is refused by a diagnostic that names the place, and costs little.
func TestHostileSpecsAreRefusedForLittleMemory(t *testing.T) {
	for name, text := range hostileSpecs(t) {
		data := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := pipeline.ParseAndCompile(catalog.All(), "hostile.yaml", data, flightColumns)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > hostileBytes && !effort.Raced {
			t.Errorf("%s: %d bytes are allocated for %d", name, n, len(text))
		}
		var all *pipeline.SpecError
		if !errors.As(err, &all) || len(all.Diagnostics) == 0 {
			t.Errorf("%s: error %.200v, want diagnostics", name, err)
			continue
		}
		for _, d := range all.Diagnostics {
			if d.File != "hostile.yaml" || d.Message == "" || len(d.Message)+len(d.Hint)+len(d.Path) > 4<<10 {
				t.Errorf("%s: %.200v", name, d)
			}
		}
	}
}

// Whatever a text repeats, as often as it may, the YAML library makes no more of it than that.
func TestTheLargestTextOfAnyShapeCostsLittleMemory(t *testing.T) {
	for _, unit := range []string{
		"a, ", "'a', ", "[a], ", "[[[[a]]]], ", "{}, ", "{a}, ", "{a: b}, ", "{a: }, ", "{a, b: c, d}, ", "{a: {b: {c: d}}}, ", "{a,b,c,d,e,f,g,h,i,j}, ", "&a ", "!a ", "{? a}, ",
		"a: b\n", "x: [a]\n", "a: |\n  b\n", "-\n", "- a\n", "- a #\n", "- \"a\"\n", "- *a\n", "- [a]\n", "- |\n  a\n", "- a: b\n", "- a: b\n  c: d\n", "- - a\n", "- - - a\n", "# c\n", "a b ",
		"- {name: f, type: number, encoder: {type: hash}}\n", "- {a, b, c, d, e, f, g, h}\n",
	} {
		text := func(n int) []byte {
			if strings.HasSuffix(unit, ", ") {
				return []byte("x: [" + strings.Repeat(unit, n) + "]")
			}
			return []byte(strings.Repeat(unit, n))
		}
		most := sort.Search(pipeline.MaxSpecBytes/len(unit), func(n int) bool { return document.Excess("spec", text(n+1)) != nil })
		var before, after runtime.MemStats
		data := text(most)
		runtime.ReadMemStats(&before)
		_, err := pipeline.Parse(catalog.All(), "hostile.yaml", data)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > hostileBytes && !effort.Raced {
			t.Errorf("%q %d times: %d bytes are allocated for %d, error %.200v", unit, most, n, len(data), err)
		}
	}
}

// A thousand features are no attack: the spec is read, and so is what it is rendered to.
func TestAThousandFeaturesAreRead(t *testing.T) {
	text := strings.Replace(string(read(t, "flights.yaml")), "  output_features:", rows(1_000, func(i int) string {
		return fmt.Sprintf("    - {name: feature_%d, type: category}\n", i)
	})+"  output_features:", 1)
	spec, err := pipeline.Parse(catalog.All(), "wide.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := pipeline.Render(spec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.Parse(catalog.All(), "rendered", rendered); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkHostileSpecs shows the time of each; none takes 50 ms.
func BenchmarkHostileSpecs(b *testing.B) {
	specs := hostileSpecs(b)
	var names []string
	for name := range specs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		data := []byte(specs[name])
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pipeline.ParseAndCompile(catalog.All(), "hostile.yaml", data, flightColumns); err == nil {
					b.Fatal("it is accepted")
				}
			}
		})
	}
}
