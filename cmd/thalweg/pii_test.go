package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/thalweg/thalweg/cmd/thalweg/embedded"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/connectors/kafka"
	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// What must be found nowhere. The number has fewer digits than times in µs.
const (
	canaryText   = "Zanzibar-Kettle"
	canaryNumber = 48151623420977
)

const peopleAvro = `{"type":"record","name":"P","fields":[{"name":"x","type":["null","double"]},{"name":"grp","type":["null","string"]},{"name":"name","type":["null","string"]},
	{"name":"passport","type":["null","long"]},{"name":"mail","type":["null","string"]},{"name":"seat","type":["null","string"]}]}`

func peopleSpec(name, train, events string) string {
	return fmt.Sprintf(`apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: %[1]s}
spec:
  sources:
    train: {s3: {path: "s3://lake/%[1]s/*"}, format: {type: %[2]s}%[3]s}
    events: {kafka: {topic: %[1]s}, format: %[4]s}
  schema:
    pii_key: people-1
    columns:
      - {name: x, type: float64}
      - {name: grp, type: string}
      - {name: name, type: string, pii: mask}
      - {name: passport, type: int64, pii: hash}
      - {name: mail, type: string, pii: hash}
      - {name: seat, type: string, pii: drop}
      - {name: who, type: string, pii: hash, from: key}
      - {name: card, type: int64, pii: hash, from: "header:card"}
      - {name: y, type: bool, available_in: [training]}
  tests:
    - {column: x, check: "value < 0.9", severity: warn, store_failures: 100}
    - {column: x, check: "value < 1.5", apply_to: [scoring]}
  preprocessing: {clean: [{filter: {expression: "x > -0.9"%[5]s}}]}
  input_features:
    - {name: x, type: number}
    - {name: grp, type: category}
    - {name: name, type: category}
    - {name: passport, type: category, encoder: {type: hash, buckets: 64}}
    - {name: mail, type: category}
  output_features: [{name: y, type: binary}]
  model: {type: linear}
  trainer: {epochs: 2}
  evaluation: {slices: [{columns: [mail]}]}
  registry: {model: %[1]s}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/%[1]s/"}, format: {type: parquet}, rolling: {period: 200ms}}
    dead_letter: {kafka: {topic: %[1]s-dlq}, max_rate: 100%%}
`, name, train, map[bool]string{true: ", on_bad_row: {type: reject, max_rate: 20%}"}[train != "parquet"], events, ", apply_to: [training, scoring]")
}

// people are rows with the canaries in all columns that have pii.
func people() arrow.Record {
	text := table.String.ArrowType()
	fields := []arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}, {Name: "grp", Type: text}, {Name: "name", Type: text},
		{Name: "passport", Type: arrow.PrimitiveTypes.Int64}, {Name: "mail", Type: text}, {Name: "seat", Type: text},
		{Name: "who", Type: text}, {Name: "card", Type: arrow.PrimitiveTypes.Int64}, {Name: "y", Type: arrow.FixedWidthTypes.Boolean}}
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	for i := range 600 {
		x := float64(i*37%200)/100 - 1
		b.Field(0).(*array.Float64Builder).Append(x)
		text := func(k int, s string) { _ = b.Field(k).(*array.BinaryDictionaryBuilder).AppendString(s) } // takes any
		text(1, string(rune('a'+i%3)))
		for _, k := range []int{2, 4, 5, 6} {
			text(k, canaryText)
		}
		b.Field(3).(*array.Int64Builder).Append(canaryNumber)
		b.Field(7).(*array.Int64Builder).Append(canaryNumber)
		b.Field(8).(*array.BooleanBuilder).Append(x > 0 != (i%7 == 0))
	}
	return b.NewRecord()
}

// canaries are the forms in which a value may be found.
func canaries() (forms [][]byte) {
	text, number := []byte(canaryText), uint64(canaryNumber)
	forms = append(forms, text, bytes.ToLower(text), fmt.Append(nil, number), []byte(hex.EncodeToString(text)),
		binary.LittleEndian.AppendUint64(nil, number), binary.BigEndian.AppendUint64(nil, number), binary.AppendVarint(nil, int64(number)))
	for shift := range 3 { // of what stands before it in base64
		coded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), text...))
		forms = append(forms, []byte(coded[4:len(coded)-4]))
	}
	return forms
}

// inside yields bytes, and what is compressed in them.
func inside(body []byte) [][]byte {
	out := [][]byte{body}
	for at := 0; ; {
		i := bytes.Index(body[at:], []byte("\x28\xb5\x2f\xfd"))
		if i < 0 {
			return out
		}
		at += i
		if r, err := zstd.NewReader(bytes.NewReader(body[at:]), zstd.WithDecoderConcurrency(1)); err == nil {
			content, _ := io.ReadAll(r) // what comes behind the frame is none
			out = append(out, content)
			r.Close()
		}
		at += 4
	}
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// A value of a column with pii, put through training and the stream in all formats, is
// in no object, topic, file, log or answer but the sources.
func TestAValueWithPIIIsFoundNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(t.TempDir(), "connections.yaml")
	put(t, keys+".key", "the secret of the people test\n")
	put(t, keys, "connections:\n  people-1: {key: {secret: {file: "+keys+".key}}}\n")
	var logs lockedBuffer
	c, stop := startDevLogging(t, embedded.Config{Dir: dir, NewStore: newStoreProcess, Connections: keys}, slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cl := client(t, c)
	lake, err := c.Connections.Bucket(t.Context(), "", "lake")
	if err != nil {
		t.Fatal(err)
	}
	rows := people()
	var parquet bytes.Buffer
	w, err := dataset.NewWriter(&parquet, rows.Schema(), dataset.WriterConfig{})
	if err == nil {
		err = w.Write(rows)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	csv, jsonl := []byte("x,grp,name,passport,mail,seat,who,card,y\n"), []byte(nil)
	for i := range int(rows.NumRows()) {
		csv = append(event.AppendCSV(csv, rows, i, event.CSVFormat{}), '\n')
		jsonl = append(event.AppendJSON(jsonl, rows, i), '\n')
		if i%100 == 0 {
			csv = fmt.Appendf(csv, "%s,%[1]s\n%[1]s,%[1]s,%[1]s,%d,%[1]s,%[1]s,%[1]s,%[2]d,true\n0.1,%[1]s,a,%[1]s,a,b,c,1,true\n", canaryText, canaryNumber)
			jsonl = fmt.Appendf(jsonl, "{%q: 1\n{\"x\":%[1]q,\"grp\":%[1]q,\"name\":%[1]q}\n{\"x\":0.5,\"grp\":\"a\",\"name\":\"%[1]s\n", canaryText)
		}
	}
	for key, body := range map[string][]byte{"people-p/a.parquet": parquet.Bytes(), "people-c/a.csv": csv, "people-j/a.jsonl": jsonl, "people.avsc": []byte(peopleAvro)} {
		if _, err := lake.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	avro, err := event.NewAvroEncoder(peopleAvro, rows.Schema())
	if err != nil {
		t.Fatal(err)
	}
	events := rows.NewSlice(0, 300)
	var answers strings.Builder
	runs := make(map[string]string)
	for name, of := range map[string]struct {
		train, format string
		encode        func(i int) []byte
	}{
		"people-p": {"parquet", `{type: avro, schema_file: "s3://lake/people.avsc"}`, func(i int) []byte {
			body, err := avro.Append(nil, events, i)
			if err != nil {
				t.Fatal(err)
			}
			return body
		}},
		"people-c": {"csv", "{type: csv, columns: [x, grp, name, passport, mail, seat]}", func(i int) []byte {
			return event.AppendCSV(nil, events, i, event.CSVFormat{Columns: []string{"x", "grp", "name", "passport", "mail", "seat"}})
		}},
		"people-j": {"jsonl", "{type: json, on_unknown_field: dead_letter}", func(i int) []byte {
			return []byte(regexp.MustCompile(`,"who".*`).ReplaceAllString(string(event.AppendJSON(nil, events, i)), "}"))
		}},
	} {
		for _, topic := range []string{name, name + "-dlq"} {
			producer, err := kafka.NewProducer(kafka.Config{Brokers: []string{c.Endpoints.Kafka}, Topic: topic}, kafka.ProducerConfig{})
			if err == nil {
				err = producer.CreateTopic(t.Context(), 1)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer producer.Close()
			if topic != name {
				continue
			}
			around := kafka.Message{Key: []byte(canaryText), Headers: []connectors.Header{{Name: "card", Value: fmt.Append(nil, canaryNumber)}, {Name: "other", Value: []byte(canaryText)}}}
			var messages []kafka.Message
			for i := range int(events.NumRows()) {
				around.Value = of.encode(i)
				messages = append(messages, around)
				if i%50 == 0 { // and what is none
					for _, bad := range [][]byte{nil, []byte(canaryText), around.Value[:len(around.Value)-3], append(bytes.Clone(around.Value), canaryText...),
						fmt.Appendf(nil, `{"%s":%d}`, canaryText, canaryNumber), fmt.Appendf(nil, `{"x":"%s","grp":"%[1]s","name":"%[1]s","passport":%d}`, canaryText, canaryNumber),
						fmt.Appendf(nil, "%s,%[1]s,%[1]s,%[1]s,%d,%[1]s", canaryText, canaryNumber)} {
						around.Value = bad
						messages = append(messages, around)
					}
				}
			}
			if err := producer.Produce(t.Context(), messages); err != nil {
				t.Fatal(err)
			}
		}
		run := applyAndWait(t, cl, peopleSpec(name, of.train, of.format))
		fmt.Fprintln(&answers, run)
		runs[name] = run.Id
	}
	flags := fmt.Sprintf(" --coordinator %s --store %s --connections %s", c.Endpoints.API[0], c.Endpoints.Store, keys)
	for name, format := range map[string]string{"people-p": "parquet", "people-c": "csv", "people-j": "jsonl"} {
		everythingScored(t, cl, name, &answers)
		for _, line := range []string{"dlq show " + name + " --limit 0 -o json", "dlq list " + name, "results " + name + " --head 5", "models show " + name, "models card " + name,
			"status", "stream status " + name, "lineage " + name + " --partition 0 --offset 1 --with-event -o json", "lineage " + name + " --partition 0 --offset 0 --verify -o json --kafka " + c.Endpoints.Kafka,
			"runs show " + runs[name], "dlq replay " + name + " -o json", "dlq show " + name + " --limit 0 -o json", "fsck " + name} {
			if (strings.HasPrefix(line, "lineage") || strings.HasPrefix(line, "dlq replay")) && !strings.Contains(line, "--kafka") {
				line += " --kafka " + c.Endpoints.Kafka
			}
			out, err := runLine(t, line+flags)
			if fmt.Fprintln(&answers, line, out, err); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if strings.HasPrefix(line, "dlq show") && (strings.Count(out, `"withheld":true`) < 42 || !strings.Contains(out, `"columns":{`)) {
				t.Errorf("%s: %.2000s", line, out)
			}
			if strings.HasPrefix(line, "dlq replay") && (strings.Contains(out, `"dead_again": 0,`) || !strings.Contains(out, `"truncated": 0,`)) {
				t.Errorf("%s: %s, want events of the topic to be read again", line, out)
			}
		}
		spec := filepath.Join(t.TempDir(), "spec.yaml")
		put(t, spec, peopleSpec(name, format, "{type: json}"))
		into, page := filepath.Join(dir, name+".parquet"), filepath.Join(dir, name+".html")
		for _, line := range []string{"clean --into " + into, "profile -o json --html " + page, "profile --cleaned -o json"} {
			out, err := runLine(t, line+" -f "+spec+" --connections "+keys+" --store "+c.Endpoints.Store)
			if fmt.Fprintln(&answers, out); err != nil {
				t.Error(err)
			}
		}
	}
	status, err := cl.Status(t.Context(), &apiv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range append(addresses(status.Nodes), addresses(status.Workers)...) {
		res, err := http.Get("http://" + n + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(&answers, res.Body)
		res.Body.Close()
	}
	stop()

	forms, source, searched := canaries(), regexp.MustCompile(`/kafka/partitions/people-[pcj]-0/|/lake/people-[pcj]/`), 0
	search := func(what string, body []byte) {
		for _, part := range inside(body) {
			searched++
			for _, form := range forms {
				if i := bytes.Index(part, form); i >= 0 {
					t.Errorf("%s has %q: %q", what, form, part[max(0, i-100):min(len(part), i+100)])
					return
				}
			}
		}
	}
	search("the log", logs.Bytes())
	search("an answer", []byte(answers.String()))
	found := 0
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if source.MatchString(filepath.ToSlash(path)) {
			for _, part := range inside(body) {
				if bytes.Contains(part, forms[0]) {
					found++
				}
			}
			return err
		}
		search(strings.TrimPrefix(path, dir), body)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if found < 6 || searched < 100 {
		t.Errorf("the search saw %d sources and %d parts: it would not find a value", found, searched)
	}
}

func addresses[T interface{ GetAddress() string }](of []T) (out []string) {
	for _, n := range of {
		out = append(out, n.GetAddress())
	}
	return out
}

// everythingScored waits until a stream has committed all events, and keeps what the
// status said.
func everythingScored(t *testing.T, cl *api.Client, name string, answers io.Writer) {
	t.Helper()
	for {
		res, err := cl.StreamStatus(t.Context(), &apiv1.StreamStatusRequest{Pipeline: name})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(answers, res)
		if len(res.Partitions) == 1 && res.Partitions[0].Committed >= 342 {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err(), res)
		case <-time.After(terminal.FollowEvery):
		}
	}
}
