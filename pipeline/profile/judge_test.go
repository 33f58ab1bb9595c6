package profile_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/profile"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// twice returns the profile of rows after a second pass over parts of them.
func twice(schema table.Schema, label string, rows [][]any, cut int) *profile.Profile {
	b := profile.New(schema)
	parts := [][][]any{rows[:cut], rows[cut:]}
	for _, part := range parts {
		b.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, part...))
	}
	again := b.SecondPass(label)
	if again == nil {
		return b.Profile()
	}
	again.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, parts[0]...))
	rest := b.SecondPass(label)
	rest.Observe(tabletest.Batch(memory.DefaultAllocator, schema, 0, parts[1]...))
	again.Merge(rest)
	return again.Profile()
}

func texts(name string, values ...string) (table.Schema, [][]any) {
	var rows [][]any
	for _, s := range values {
		rows = append(rows, []any{s})
	}
	return table.Schema{Columns: []table.Column{{Name: name, Type: table.String}}}, rows
}

// The most frequent of values that are too many to be counted each are found and
// counted exactly, in whatever order they come.
func TestFrequentValuesAreFoundAmongManyOthers(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "s", Type: table.String}, {Name: "n", Type: table.Float64}}}
	random := rand.New(rand.NewPCG(4, 4))
	var rows [][]any
	want := map[string]int64{}
	for i := range 50_000 {
		rows = append(rows, []any{fmt.Sprint("other ", i), float64(i) + 0.5})
		if k := random.IntN(40); k < 20 {
			word := fmt.Sprint("word ", k*random.IntN(2))
			rows = append(rows, []any{word, -float64(k)})
			want[word]++
		}
	}
	var first string
	for range 2 {
		random.Shuffle(len(rows), func(i, k int) { rows[i], rows[k] = rows[k], rows[i] })
		p := twice(schema, "", rows, random.IntN(len(rows)))
		for _, v := range p.Columns[0].Top[:len(want)] {
			if v.Count != want[v.Value] {
				t.Errorf("%s: %d times, want %d", v.Value, v.Count, want[v.Value])
			}
		}
		data, _ := json.Marshal(p)
		if first == "" {
			first = string(data)
		} else if first != string(data) {
			t.Error("another order gives another profile")
		}
	}
}

// What columns tell of the label is what its formulas give.
func TestColumnsAreComparedWithTheLabel(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64}, {Name: "kind", Type: table.String},
		{Name: "leak", Type: table.Float64}, {Name: "noise", Type: table.Int64}, {Name: "y", Type: table.Bool}}}
	random := rand.New(rand.NewPCG(8, 8))
	var rows [][]any
	var n, sx, sy, xx, yy, xy float64
	joint := map[[2]string]float64{}
	for range 4000 {
		y, x := random.IntN(3) == 0, any(random.NormFloat64())
		kind := []string{"a", "b", "c"}[random.IntN(3)]
		of := 0.0
		if y {
			of, kind, x = 1, []string{"a", "b", "c", "c", "c"}[random.IntN(5)], x.(float64)+1
		}
		v := x.(float64)
		n, sx, sy, xx, yy, xy = n+1, sx+v, sy+of, xx+v*v, yy+of*of, xy+v*of
		joint[[2]string{kind, fmt.Sprint(y)}]++
		rows = append(rows, []any{x, kind, 10*of + random.Float64(), int64(random.IntN(1000)), y})
	}
	rows = append(rows, []any{1.0, "a", 1.0, int64(1), nil}, []any{nil, nil, math.NaN(), nil, true})
	p := twice(schema, "y", rows, 1500)
	x, kind, leak, noise := p.Columns[0].Association, p.Columns[1].Association, p.Columns[2], p.Columns[3].Association
	if r := (n*xy - sx*sy) / math.Sqrt((n*xx-sx*sx)*(n*yy-sy*sy)); x.Rows != 4000 || math.Abs(*x.Correlation-r) > 1e-5 {
		t.Errorf("correlation %v of %d rows, want %v", *x.Correlation, x.Rows, r)
	}
	mutual, kinds, labels := 0.0, map[string]float64{}, map[string]float64{}
	for k, c := range joint {
		kinds[k[0]] += c / n
		labels[k[1]] += c / n
	}
	for k, c := range joint {
		mutual += c / n * math.Log2(c/n/(kinds[k[0]]*labels[k[1]]))
	}
	if chance := 2 * 1 / (2 * n * math.Ln2); math.Abs(kind.MutualInformation-(mutual-chance)) > 1e-9 || kind.Correlation != nil {
		t.Errorf("mutual information %v, want %v", kind.MutualInformation, mutual-chance)
	}
	if len(leak.Suspects) == 0 || leak.Suspects[0].Kind != "leak" || *leak.Association.Alone < 0.995 {
		t.Errorf("a column made of the label is suspected: %+v", leak.Suspects)
	}
	if noise.Share > 0.005 || *noise.Alone > 0.55 {
		t.Errorf("noise tells of the label: %+v", noise)
	}
}

// Personal data are told by their forms and checksums, with a confidence; numbers that
// only look alike are not.
func TestPersonalDataAreSuspectedByFormAndChecksum(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 9))
	many := func(n int, one func(i int) string) (out []string) {
		for i := range n {
			out = append(out, one(i))
		}
		return out
	}
	digits := func(n int) string {
		return strings.Join(many(n, func(int) string { return fmt.Sprint(random.IntN(10)) }), "")
	}
	mixed := append(many(95, func(i int) string { return fmt.Sprint("remark ", i%7) }), many(5, func(i int) string { return fmt.Sprintf("a.b%d@example.org", i) })...)
	for _, tc := range []struct {
		name   string
		values []string
		kind   string
		want   profile.Confidence
	}{
		{"c", []string{"4111111111111111", "5500-0000-0000-0004", "3400 0000 0000 009", "6011000000000004"}, "card numbers", profile.High},
		{"order", many(300, func(int) string { return "4" + digits(15) }), "card numbers", ""},
		{"c", []string{"0000000000000000", "4444444444444444", "4111-1111 11111111"}, "card numbers", ""},
		{"i", []string{"GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "fr1420041010050500013m02606"}, "IBANs", profile.High},
		{"i", []string{"GB82 WEST 1234 5698 7654 33", "DE89370400440532013001"}, "IBANs", ""},
		{"m", []string{"ann@example.org", "o'neil+x@mail.example.com", ""}, "e-mail addresses", profile.High},
		{"note", mixed, "e-mail addresses", profile.Medium},
		{"m", []string{"@example", "a@b", "a b@c.de", "http://a@b"}, "e-mail addresses", ""},
		{"p", []string{"+46 8 123 456 78", "(212) 555-0187", "212-555-0187", "+442079460958"}, "phone numbers", profile.Medium},
		{"mobile_phone", []string{"+46 8 123 456 78"}, "phone numbers", profile.High},
		{"p", []string{"2024-01-31", "123456789012", "1.2.3.4", "+1"}, "phone numbers", ""},
		{"x", []string{"192.168.0.1", "::1", "2001:db8::8a2e:370:7334"}, "IP addresses", profile.Medium},
		{"x", []string{"1.2.3", "256.1.1.1", "10:20:30"}, "IP addresses", ""},
		{"ssn", []string{"078-05-1120", "219-09-9999"}, "social security numbers", profile.High},
		{"ssn", []string{"000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567"}, "social security numbers", ""},
	} {
		schema, rows := texts(tc.name, tc.values...)
		got := profile.Confidence("")
		for _, s := range twice(schema, "", rows, 1).Columns[0].Suspects {
			if s.Kind == tc.kind {
				got = s.Confidence
			}
		}
		if got != tc.want {
			t.Errorf("%s in %s %.60q: confidence %q, want %q", tc.kind, tc.name, tc.values, got, tc.want)
		}
	}
	schema := table.Schema{Columns: []table.Column{{Name: "paid_by", Type: table.Int64}}}
	p := twice(schema, "", [][]any{{int64(4111111111111111)}, {int64(5500000000000004)}}, 1)
	if s := p.Columns[0].Suspects; len(s) == 0 || s[0].Kind != "card numbers" {
		t.Errorf("card numbers kept as numbers: %+v", s)
	}
}

// Cards, e-mail, IBAN and IP addresses are those that Presidio's patterns find:
// testdata/pii.py says how.
func TestPersonalDataAreThoseThatPresidioFinds(t *testing.T) {
	data, err := os.ReadFile("testdata/pii.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text string
		Is   []string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		schema, rows := texts("x", c.Text)
		found := []string{}
		for _, s := range twice(schema, "", rows, 1).Columns[0].Suspects {
			if s.Kind != "phone numbers" { // of which it has lists of countries
				found = append(found, s.Kind)
			}
		}
		if slices.Sort(found); !slices.Equal(found, c.Is) {
			t.Errorf("%s: %q, want %q", c.Text, found, c.Is)
		}
	}
	if len(cases) < 500 {
		t.Errorf("only %d cases", len(cases))
	}
}

// Columns that count rows or name them are suspected, others are not.
func TestIdentifiersAndConstantsAreSuspected(t *testing.T) {
	schema := table.Schema{Columns: []table.Column{{Name: "row", Type: table.Int64}, {Name: "visitId", Type: table.Int64}, {Name: "code", Type: table.String},
		{Name: "n", Type: table.Int64}, {Name: "at", Type: table.String}, {Name: "one", Type: table.String}}}
	var rows [][]any
	for i := range 1000 {
		rows = append(rows, []any{int64(500 - i), int64(i * i % 71), fmt.Sprintf("k%dx", i), int64(i * i * i), fmt.Sprintf("2024-01-01T00:%02d:%02dZ", i/60, i%60), "x"})
	}
	want := []string{"identifier", "identifier", "identifier", "", "", "constant"}
	for i, c := range twice(schema, "", rows, 10).Columns {
		got := ""
		for _, s := range c.Suspects {
			got += s.Kind
		}
		if got != want[i] {
			t.Errorf("column %s: %q, want %q", c.Name, got, want[i])
		}
	}
}

// The same rows have no difference, shifted ones have that of the formula, and columns
// that came, went or changed their type are named.
func TestTheDifferenceOfTwoProfiles(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	columns := func(names ...string) (s table.Schema) {
		for _, n := range names {
			typ := map[byte]table.Type{'x': table.Float64, 's': table.String, 'n': table.Int64}[n[0]]
			s.Columns = append(s.Columns, table.Column{Name: n, Type: typ})
		}
		return s
	}
	draw := func(shift float64, share float64) (rows [][]any) {
		for range 20_000 {
			s := "a"
			if random.Float64() < share {
				s = "b"
			}
			x := any(random.NormFloat64() + shift)
			if random.IntN(50) == 0 {
				x = nil
			}
			rows = append(rows, []any{x, s, int64(random.IntN(4))})
		}
		return rows
	}
	before := twice(columns("x", "s", "n gone"), "", draw(0, 0.5), 10)
	same := profile.Compare(before, before)
	for _, c := range same.Columns {
		if *c.PSI != 0 || *c.JS != 0 || c.Says() != "" {
			t.Errorf("the same column %s: %+v, PSI %v", c.Name, c, *c.PSI)
		}
	}
	again := profile.Compare(before, twice(columns("x", "s", "n gone"), "", draw(0, 0.5), 10))
	for _, c := range again.Columns {
		if *c.PSI > 0.01 {
			t.Errorf("rows of the same distribution, column %s: PSI %v", c.Name, *c.PSI)
		}
	}
	d := profile.Compare(before, twice(columns("x", "s", "n new"), "", draw(1, 0.8), 10))
	x, s, gone, fresh := d.Columns[0], d.Columns[1], d.Columns[2], d.Columns[3]
	// Of normal distributions one deviation apart, the index tends to 1.
	if *x.PSI < 0.8 || *x.PSI > 1.05 || x.Says() != "much has shifted" {
		t.Errorf("shifted by a deviation: PSI %v", *x.PSI)
	}
	if want := (0.8-0.5)*math.Log(0.8/0.5) + (0.2-0.5)*math.Log(0.2/0.5); math.Abs(*s.PSI-want) > 0.02 {
		t.Errorf("PSI of texts %v, want about %v", *s.PSI, want)
	}
	if gone.Says() != "gone" || fresh.Says() != "new" || fresh.Name != "n new" {
		t.Errorf("%+v, %+v", gone, fresh)
	}
	other := before.Columns[0]
	other.Type, other.Numbers = table.String, nil
	changed := profile.Compare(before, &profile.Profile{Rows: 3, Columns: []profile.Column{other}})
	if c := changed.Columns[0]; c.Says() != "was float64, not compared" {
		t.Errorf("got %q", c.Says())
	}
}

// Whatever stands in names and values is text on a page, not markup or script.
func TestHostileNamesAndValuesStayTextOnAPage(t *testing.T) {
	hostile := []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</style><script>`, `{{.}}`, `' onload='x`, "a\x00\u202e<!--", "&lt;"}
	schema, rows := texts(hostile[1], hostile...)
	p := twice(schema, "", rows, 3)
	for _, d := range []*profile.Diff{nil, profile.Compare(p, p)} {
		var out bytes.Buffer
		if err := p.WriteHTML(&out, hostile[0], d); err != nil {
			t.Fatal(err)
		}
		page := out.String()
		for _, bad := range []string{"<script", "<img", "onload='", "http://", "https://", "\x00", "\u202e", "<!--"} {
			if strings.Contains(page, bad) {
				t.Errorf("the page has %q", bad)
			}
		}
		if strings.Count(page, "</style>") != 1 || !strings.Contains(page, "default-src 'none'") || !strings.Contains(page, "&lt;script&gt;") {
			t.Errorf("got %.2000s", page)
		}
	}
}

// Bytes of somebody else are refused or make a profile that can be shown and compared.
func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 40} {
		data, _ := json.Marshal(built(wildRows(n, 3), 100).Profile())
		f.Add(data)
	}
	f.Add([]byte(`{"version":1,"rows":1,"columns":[{"name":"x","nulls":2}]}`))
	f.Add([]byte(`{"version":1,"rows":3,"columns":[{"name":"x","type":"float64","min":"1","numbers":{}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profile.Decode("it", data)
		if err != nil {
			return
		}
		var out bytes.Buffer
		p.WriteTable(&out)
		d := profile.Compare(p, p)
		d.WriteTable(&out)
		if err := p.WriteHTML(&out, "it", d); err != nil {
			t.Error(err)
		}
		for _, c := range d.Columns {
			if c.PSI != nil && (math.IsNaN(*c.PSI) || math.IsNaN(*c.JS)) {
				t.Errorf("PSI %v, JS %v", *c.PSI, *c.JS)
			}
		}
	})
}
