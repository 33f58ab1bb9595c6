package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/localdata"
	"github.com/thalweg/thalweg/cmd/thalweg/produce"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/s3"
)

// schemaRegistry serves the API of a schema registry: schemas are added and
// asked for by id.
func schemaRegistry(t *testing.T) (address string) {
	var mu sync.Mutex
	var schemas []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			var posted struct{ Schema string }
			if err := json.Unmarshal(body, &posted); err != nil || r.URL.Path != "/subjects/flights-value/versions" {
				w.WriteHeader(http.StatusUnprocessableEntity)
				return
			}
			schemas = append(schemas, posted.Schema)
			fmt.Fprintf(w, `{"id":%d}`, len(schemas))
			return
		}
		id, _ := strconv.Atoi(path.Base(r.URL.Path))
		if id < 1 || id > len(schemas) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code":40403}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"schema": schemas[id-1]})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const avroFile = `{"type":"record","name":"Flight","fields":[
	{"name":"origin","type":["null","string"]},
	{"name":"destination","type":["null",{"type":"string","avro.java.string":"String"}]},
	{"name":"gate","type":["null","bytes"]},
	{"name":"date","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
	{"name":"delay","type":["null","int"]},
	{"name":"distance","type":["int","null"]}]}`

// columnsOf declares the columns of the flights, with where some come from.
func columnsOf(from map[string]string) string {
	var b strings.Builder
	b.WriteString("  schema:\n    columns:\n")
	for _, c := range [][2]string{{"date", "timestamp"}, {"delay", "int64"}, {"distance", "int64"}, {"origin", "string"}, {"destination", "string"}} {
		fmt.Fprintf(&b, "      - {name: %s, type: %s", c[0], c[1])
		if f := from[c[0]]; f != "" {
			fmt.Fprintf(&b, ", from: %q", f)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// withLists adds columns of lists to flights: some are null, some empty, of another
// length, or miss an element.
func withLists(t *testing.T, flights []byte) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "flights.parquet")
	put(t, file, string(flights))
	local, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var w *dataset.Writer
	random := rand.New(rand.NewPCG(3, 3))
	if err := local.Each(t.Context(), func(batch arrow.Record) error {
		legs, flags := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Float32), array.NewListBuilder(memory.DefaultAllocator, arrow.FixedWidthTypes.Boolean)
		for range batch.NumRows() {
			if random.IntN(9) == 0 {
				legs.AppendNull()
			} else {
				legs.Append(true)
				for range []int{3, 3, 3, 3, 0, 5}[random.IntN(6)] {
					legs.ValueBuilder().(*array.Float32Builder).AppendValues([]float32{random.Float32() * 1000}, []bool{random.IntN(9) > 0})
				}
			}
			flags.Append(true)
			flags.ValueBuilder().(*array.BooleanBuilder).AppendValues([]bool{random.IntN(2) == 0, random.IntN(3) == 0}, nil)
		}
		n := int(batch.NumCols()) - 1
		fields := append(batch.Schema().Fields()[:n:n], arrow.Field{Name: "legs", Type: legs.Type(), Nullable: true}, arrow.Field{Name: "flags", Type: flags.Type()})
		rec := array.NewRecord(arrow.NewSchema(fields, nil), append(batch.Columns()[:n:n], legs.NewArray(), flags.NewArray()), batch.NumRows())
		defer rec.Release()
		if w == nil {
			var err error
			if w, err = dataset.NewWriter(&out, rec.Schema(), dataset.WriterConfig{RowGroupRows: 4000}); err != nil {
				return err
			}
		}
		return w.Write(rec)
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Training reads Parquet, the stream whatever the spec says: the same rows give
// the same bits.
func TestEveryFormatGivesTheBitsOfTraining(t *testing.T) {
	const format, features, lists = "{type: json}", "  input_features:\n", "    - {name: legs, type: list, length: 3}\n    - {name: flags, type: list}\n"
	for name, change := range map[string]func(spec string) string{
		"csv": func(s string) string {
			return strings.Replace(s, format, `{type: csv, delimiter: ";", null_text: "-", columns: [destination, date, gate, origin, distance, delay]}`, 1)
		},
		"avro by a registry": func(s string) string { return strings.Replace(s, format, "{type: avro, schema_registry: default}", 1) },
		"avro by a file": func(s string) string {
			return strings.Replace(s, format, `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1)
		},
		"columns from records": func(s string) string {
			return strings.Replace(s, features, columnsOf(map[string]string{"date": "timestamp", "origin": "key", "distance": "header:far"})+features, 1)
		},
		"lists in json": func(s string) string { return strings.Replace(s, features, features+lists, 1) },
		"lists in avro by a registry": func(s string) string {
			return strings.Replace(strings.Replace(s, format, "{type: avro, schema_registry: default}", 1), features, features+lists, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := parallelDev(t, embedded.Config{SchemaRegistry: schemaRegistry(t)})
			cl := client(t, c)
			body := fewFlights(t, 12_000)
			if strings.HasPrefix(name, "lists") {
				body = withLists(t, body)
			}
			upload(t, c, body)
			bucket, err := c.Connections.Bucket(t.Context(), "", "lake")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := bucket.Put(t.Context(), "flight.avsc", []byte(avroFile)); err != nil {
				t.Fatal(err)
			}
			spec := change(demoSpec(t))
			run := applyAndWait(t, cl, spec)
			file, specFile := filepath.Join(t.TempDir(), "flights.parquet"), filepath.Join(t.TempDir(), "flights.yaml")
			for name, data := range map[string][]byte{file: body, specFile: []byte(spec)} {
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			local, err := localdata.OpenFiles(t.Context(), file, nil)
			if err != nil {
				t.Fatal(err)
			}
			form, err := produce.NewForm(t.Context(), c.Connections, local, "flights", specFile, "")
			if err != nil {
				t.Fatal(err)
			}
			// The version keeps the schema that it was made with.
			if err := bucket.Delete(t.Context(), "flight.avsc"); err != nil {
				t.Fatal(err)
			}
			producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{c.Endpoints.Kafka}, Topic: "flights"}, kafka.ProducerConfig{})
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			if err := producer.CreateTopic(t.Context(), 2); err != nil && !thalweg.Is(err, thalweg.Exists) {
				t.Fatal(err)
			}
			n, err := (&produce.Rows{Producer: producer, Form: form, From: 0.5}).Run(t.Context(), local)
			if err != nil {
				t.Fatal(err)
			}
			committed(t, c, cl, n)
			sameBits(t, c, run, file, n, streamed(t, c))
		})
	}
}

// A misspelt field is found before a run, in a local copy; and where there is
// none, the answer says what was not read.
func TestValidateHoldsTheSchemaOfEventsAgainstTheColumns(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "flights.parquet"), string(fewFlights(t, 50)))
	put(t, filepath.Join(dir, "spec.yaml"), strings.Replace(demoSpec(t), "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1))
	put(t, filepath.Join(dir, "good.avsc"), avroFile)
	put(t, filepath.Join(dir, "bad.avsc"), strings.Replace(avroFile, `"distance"`, `"distnace"`, 1))
	put(t, filepath.Join(dir, "json.yaml"), demoSpec(t))
	for _, tc := range []struct{ line, out, err string }{
		{"spec.yaml", "not read: s3://lake/flight.avsc", ""},
		{"spec.yaml --data flights.parquet", "not read: s3://lake/flight.avsc", ""},
		{"spec.yaml --data flights.parquet --event-schema good.avsc", "and the schema of events", ""},
		{"spec.yaml --data flights.parquet --event-schema bad.avsc", "", "bad.avsc: check schema of events: there is no field for column distance, the nearest is distnace"},
		{"json.yaml --data flights.parquet --event-schema good.avsc", "", "want a spec that names a schema_file"},
	} {
		t.Chdir(dir)
		out, err := runLine(t, "validate "+tc.line)
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) || !strings.Contains(out, tc.out) ||
			tc.err == "" && strings.Contains(tc.line, "good") && strings.Contains(out, "not read") {
			t.Errorf("%s: %q %v", tc.line, out, err)
		}
	}
}

func TestProduceWritesEachFormatWithoutASpec(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flights.parquet")
	if err := os.WriteFile(file, fewFlights(t, 50), 0o600); err != nil {
		t.Fatal(err)
	}
	address := schemaRegistry(t)
	conns, err := connections.New("file://"+t.TempDir(), s3.Config{}, kafka.Config{}, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conns.Close)
	schemas, err := conns.Schemas("")
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[string][]string)
	for format, options := range map[string]event.Format{"": nil, "json": new(event.JSONFormat), "csv": new(event.CSVFormat),
		"avro": &event.AvroFormat{SchemaRegistry: connections.Default}} {
		local, err := localdata.OpenFiles(t.Context(), file, nil)
		if err != nil {
			t.Fatal(err)
		}
		form, err := produce.NewForm(t.Context(), conns, local, "flights", "", format)
		if err != nil {
			t.Fatal(err)
		}
		decoder, err := event.NewDecoder(local.Schema, event.Config{Format: options, Schemas: schemas})
		if err != nil {
			t.Fatal(err)
		}
		if err := local.Each(t.Context(), func(batch arrow.Record) error {
			for m, err := range form.Messages(batch, 0) {
				if err != nil {
					return err
				}
				if m.Key != nil || m.Headers != nil || !m.Time.IsZero() {
					t.Errorf("%s: %+v", format, m)
				}
				rec, rejects, err := decoder.Decode(t.Context(), event.Events{Values: m.Value, Ends: []int{len(m.Value)}, Offsets: []int64{0}})
				if err != nil || len(rejects) > 0 {
					return fmt.Errorf("%q: %v %w", m.Value, rejects, err)
				}
				want[format] = append(want[format], string(event.AppendJSON(nil, rec, 0)))
				rec.Release()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	for format, rows := range want {
		if len(rows) != 50 || !slices.Equal(rows, want[""]) {
			t.Errorf("%s: %d rows: %.300v\nwant %.300v", format, len(rows), rows, want[""])
		}
	}
	local, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, file, string(withLists(t, fewFlights(t, 50))))
	lists, err := localdata.OpenFiles(t.Context(), file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := produce.NewForm(t.Context(), conns, lists, "flights", "", "csv"); !thalweg.Is(err, thalweg.Unsupported) || !strings.Contains(err.Error(), "column legs: it is a list<float64>, and CSV has no lists") {
		t.Errorf("lists as csv: %v", err)
	}
	if _, err := produce.NewForm(t.Context(), conns, local, "flights", "", "xml"); err == nil {
		t.Error("xml is taken")
	}
	if _, err := produce.NewForm(t.Context(), onDisk(t), local, "flights", "", "avro"); !thalweg.Is(err, thalweg.NotFound) {
		t.Errorf("avro without a registry: %v", err)
	}
}

// A binary label with values other than two ends a run at its first such row; the
// data at hand tells before.
func TestValidateHoldsABinaryLabelAgainstTheData(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "flights.parquet"), string(fewFlights(t, 50)))
	put(t, filepath.Join(dir, "good.yaml"), demoSpec(t))
	put(t, filepath.Join(dir, "many.yaml"), strings.Replace(demoSpec(t), `"delay > 15"`, `"delay"`, 1))
	put(t, filepath.Join(dir, "cleaned.yaml"), strings.Replace(strings.Replace(demoSpec(t), `"delay > 15"`, `"delay"`, 1), "    split:",
		`    clean: [{filter: {expression: "delay == 1 || delay == 0"}}]`+"\n    split:", 1))
	put(t, filepath.Join(dir, "number.yaml"), strings.Replace(demoSpec(t), `type: binary, expression: "delay > 15"`, `type: number, expression: "delay"`, 1))
	t.Chdir(dir)
	for _, name := range []string{"good", "cleaned", "number"} {
		if out, err := runLine(t, "validate "+name+".yaml --data flights.parquet"); err != nil {
			t.Errorf("%s: %q %v", name, out, err)
		}
	}
	_, err := runLine(t, "validate many.yaml --data flights.parquet")
	if !thalweg.Is(err, thalweg.Invalid) || !strings.Contains(err.Error(), "label delayed, row ") || !strings.Contains(err.Error(), "is neither 0 nor 1") {
		t.Errorf("a label of many values: %v", err)
	}
}
