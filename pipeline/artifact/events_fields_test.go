package artifact

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/event"
)

func record(fields ...string) string {
	for i, f := range fields {
		name, typ, _ := strings.Cut(f, " ")
		fields[i] = fmt.Sprintf(`{"name":%q,"type":["null",%q]}`, name, typ)
	}
	return `{"type":"record","name":"R","fields":[` + strings.Join(fields, ",") + `]}`
}

// A field that is misspelt, or not there, would make its column null in every
// event.
func TestASchemaFileWithoutAColumnsFieldIsRefused(t *testing.T) {
	byFile := strings.Replace(document, "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1)
	declared := strings.Replace(byFile, "  input_features:\n", `  schema:
    columns:
      - {name: date, type: timestamp}
      - {name: delay, type: int64}
      - {name: distance, type: int64}
      - {name: ratio, type: float64}
      - {name: origin, type: string}
  input_features:
`, 1)
	for _, spec := range []string{byFile, declared} {
		plan := trainedBy(t, spec, binary).Plan()
		for want, schema := range map[string]string{
			"": record("date string", "distance long", "ratio double", "origin string"), // the label's column is not expected
			"no field for column distance, the nearest is distnace":             record("date string", "distnace long", "ratio double", "origin string"),
			"no field for column ratio, nor one of a similar name":              record("date string", "distance long", "origin string"),
			"no field for column delay, the nearest is dealy":                   record("date string", "distance long", "ratio double", "origin string", "dealy long"),
			"distance, the nearest is Distance; there is no field for column r": record("date string", "Distance long", "origin string"),
		} {
			err := CheckEvents(plan, schema)
			if want == "" && err != nil || want != "" && (!thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s: %v, want %q", schema, err, want)
			}
		}
	}
}

// registered are schemas by id.
type registered map[uint32]string

func (r registered) Schema(_ context.Context, id uint32) ([]string, error) {
	return []string{r[id]}, nil
}

func TestAVersionTellsOnceWhichFieldsASchemaLacks(t *testing.T) {
	a := trainedBy(t, strings.Replace(document, "{type: json}", `{type: avro, schema_registry: schemas}`, 1), binary)
	a.Schemas = registered{
		1: record("date string", "distance long", "ratio double", "origin string"),
		2: record("date string", "distance long", "ratio double", "orgin string"),
		3: `"string"`,
	}
	var told []string
	a.Watch(func(id uint32, lacking string) { told = append(told, fmt.Sprintf("%d: %s", id, lacking)) })
	for range 2 {
		d, err := a.NewDecoder(event.Config{})
		if err != nil {
			t.Fatal(err)
		}
		for id := range uint32(3) {
			rec, _, err := d.Decode(t.Context(), event.Events{Values: []byte{0, 0, 0, 0, byte(id + 1), 0, 0, 0, 0}, Ends: []int{9}, Offsets: []int64{0}})
			if err != nil {
				t.Fatal(err)
			}
			rec.Release()
		}
	}
	if len(told) != 1 || told[0] != "2: there is no field for column origin, the nearest is orgin" {
		t.Errorf("told %q", told)
	}

	old := trainedBy(t, strings.Replace(document, "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1), binary)
	old.EventSchema = record("date string", "distance long", "ratio double", "orgin string")
	b, err := Decode(catalog.All(), encode(t, old))
	if err != nil {
		t.Fatalf("a version of an older build is not served: %v", err)
	}
	if got := b.LackingFields(); got != "there is no field for column origin, the nearest is orgin" {
		t.Errorf("lacking %q", got)
	}
}
