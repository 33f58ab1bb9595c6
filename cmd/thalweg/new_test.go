package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
)

// visits returns a table with a column of each kind that a draft tells apart.
func visits(t *testing.T) []byte {
	t.Helper()
	fields := []arrow.Field{{Name: "visit", Type: arrow.PrimitiveTypes.Int64}, {Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "minutes spent", Type: arrow.PrimitiveTypes.Float64}, {Name: "country", Type: arrow.BinaryTypes.String},
		{Name: "member", Type: arrow.FixedWidthTypes.Boolean}, {Name: "unit", Type: arrow.PrimitiveTypes.Float64},
		{Name: "empty", Type: arrow.BinaryTypes.String}, {Name: "paid", Type: arrow.PrimitiveTypes.Float64}, {Name: "outcome", Type: arrow.BinaryTypes.String}, {Name: "PREDICTION", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "basket", Type: arrow.ListOf(arrow.PrimitiveTypes.Float32)}, {Name: "seen", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64)},
		{Name: "remarks", Type: arrow.BinaryTypes.String}}
	for i := range fields {
		fields[i].Nullable = true
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 3000 {
		minutes := random.ExpFloat64() * 10
		bought := minutes+10*random.NormFloat64() > 12
		b.Field(0).(*array.Int64Builder).Append(int64(1000 + i))
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(int64(i) * 3_600_000_000))
		if b.Field(2).(*array.Float64Builder).Append(minutes); i%10 == 0 {
			b.Field(3).(*array.StringBuilder).AppendNull()
		} else {
			b.Field(3).(*array.StringBuilder).Append([]string{"no", "se", "dk"}[random.IntN(3)])
		}
		b.Field(4).(*array.BooleanBuilder).Append(random.IntN(2) == 0)
		b.Field(5).(*array.Float64Builder).Append(14.62)
		b.Field(6).(*array.StringBuilder).AppendNull()
		paid, outcome := 0.0, "left"
		if bought {
			paid, outcome = 1+random.ExpFloat64(), "bought"
		}
		b.Field(7).(*array.Float64Builder).Append(paid)
		b.Field(8).(*array.StringBuilder).Append(outcome)
		b.Field(9).(*array.BooleanBuilder).Append(i%2 == 0)
		basket, seen := b.Field(10).(*array.ListBuilder), b.Field(11).(*array.ListBuilder)
		if i%20 == 0 {
			basket.AppendNull()
		} else {
			basket.Append(true)
			basket.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{float32(i % 7), float32(i%13) / 7, float32(minutes)}, []bool{true, i%11 > 0, true})
		}
		seen.Append(true)
		seen.ValueBuilder().(*array.Int64Builder).AppendValues(make([]int64, i%5), nil)
		b.Field(12).(*array.StringBuilder).Append(fmt.Sprintf("Call %d was about order %d", i%97, i))
	}
	return parquetOf(t, b)
}

// What new drafts can be validated and trained as it is, and says what it left out.
func TestADraftedSpecTrainsAsItIs(t *testing.T) {
	c := parallelDev(t, embedded.Config{})
	body := visits(t)
	upload(t, c, body)
	file, spec := t.TempDir()+"/Shop Visits.parquet", t.TempDir()+"/visits.yaml"
	put(t, file, string(body))
	text, err := command(t, c, "new", "--from", file, "--label", "outcome", "--topic", "visits", "--path", "s3://lake/flights/*.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"metadata: {name: shop-visits}",
		`events: {kafka: {topic: "visits"}, format: {type: json}}`,
		`    - {name: at_hour, type: category, expression: "hour(at)"}`,
		`    - {name: "minutes spent", type: number}  # `,
		"    - {name: country, type: category}  # 3 values, missing in 10 %",
		"    - {name: member, type: category}  # 2 values",
		"    # left out: visit: it looks like an identifier",
		"    - {name: basket, type: list, length: 3}  # the length of every list, missing in 5 %",
		"    # left out: seen: its lists have no usual length: write type: set where its numbers are ids, or take an element, seen[0], or len(seen)",
		"    - {name: remarks, type: text}  # 6 words on average",
		"    # left out: unit: it has one value",
		"    # left out: empty: it is null in every row",
		"    # left out: paid: it predicts the label alone (1, 1 is always)",
		`    - {name: outcome_is, type: binary, expression: "outcome == \"bought\""}  # true in `,
		"split: {type: datetime, column: at,",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	put(t, spec, text)
	if out, err := command(t, c, "validate", spec, "--data", file); err != nil {
		t.Errorf("validate: %v\n%s", err, out)
	}
	if out, err := command(t, c, "apply", "-f", spec, "--wait"); err != nil || !strings.Contains(out, "succeeded") || strings.Contains(out, "warning") {
		t.Errorf("apply: %v\n%s", err, out)
	}
}

func TestALabelThatCannotBeLearnedIsRefused(t *testing.T) {
	file := t.TempDir() + "/visits.parquet"
	put(t, file, string(visits(t)))
	for label, want := range map[string]string{
		"country":       `write a condition such as country == "dk"`,
		"at":            "it is a timestamp",
		"otcome":        "did you mean outcome?",
		"1 > 0":         "it reads no column",
		"paid > 1000":   "it is 0 in every row",
		"empty == null": "it is 1 in every row",
		"PREDICTION":    "scored rows have one of this name, or of one that differs in case only (give it another name",
	} {
		root := newRoot()
		root.SetArgs([]string{"new", "--from", file, "--label", label, "--topic", "visits"})
		root.SetOut(&bytes.Buffer{})
		err := root.ExecuteContext(t.Context())
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", label, err, want)
		}
	}
}
