package scorer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/thalweg/thalweg/connectors/registry"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	events "github.com/thalweg/thalweg/pipeline/event"
)

// enveloped is artifacttest.Flights with columns that come from the records around events.
var enveloped = strings.NewReplacer(
	"type: timestamp, nullable: false", "type: timestamp, nullable: false, from: timestamp",
	"name: distance,    type: int64, nullable: true", `name: distance, type: int64, nullable: true, from: "header:distance"`,
	"name: origin,      type: string, nullable: true", "name: origin, type: string, nullable: true, from: key",
).Replace(artifacttest.Flights)

// around is the record that has in its key, headers and time what goodEvent has
// in its value.
func around(t testing.TB, value string, n int) *kgo.Record {
	at, err := time.Parse(time.DateTime, fmt.Sprintf("2001-03-%02d %02d:00:00", 1+n%28, n%24))
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: topic, Value: []byte(value), Key: fmt.Appendf(nil, "a%d", n%7), Timestamp: at,
		Headers: []kgo.RecordHeader{{Key: "other", Value: []byte("x")}, {Key: "distance", Value: []byte("1")}, {Key: "distance", Value: fmt.Appendf(nil, "%d", 100+n%2000)}}}
}

func (w *world) produceRecords(records ...*kgo.Record) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addr()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// wantSameRows fails the test unless the rows of the first n offsets say the
// same as those of the next n, and so on, so many times in all.
func wantSameRows(t *testing.T, rows map[int64]scoredRow, n, times int64) {
	t.Helper()
	for _, column := range []string{"date", "distance", "origin", "probability"} {
		for at := n; at < times*n; at++ {
			if first, again := rows[at%n].cells[column], rows[at].cells[column]; first != again || first == "" {
				t.Errorf("%s of offset %d is %q, of offset %d %q", column, at%n, first, at, again)
				break
			}
		}
	}
}

// A version whose columns come from keys, headers and timestamps answers as one
// that finds the same values in the events, and may follow it at any moment.
func TestColumnsFromRecordsScoreAsColumnsFromEvents(t *testing.T) {
	w := newWorld(t, 1)
	w.registerArtifact(2, trainedBy(t, enveloped)) // the same parameters
	w.promote(1)
	const n = 200
	var records []*kgo.Record
	for i := range n {
		records = append(records, around(t, goodEvent(i), i))
	}
	w.produceRecords(records...)
	s := w.start(func(c *Config) { c.Rolling.Period = time.Hour; c.Batching.Count = 50 })
	s.wait("the first version", func(s Status) bool { return s.Scored == n })
	s.Pause(true)
	w.promote(2, 1)
	s.waitCommitted(n)
	s.Pause(false)
	w.produceRecords(records...)
	s.wait("the second version", func(s Status) bool { return s.Model.Version == 2 && s.Scored == 2*n })
	w.promote(1)
	w.produceRecords(records...)
	s.wait("the first version again", func(s Status) bool { return s.Model.Version == 1 && s.Scored == 3*n })
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	if len(rows) != 3*n || len(letters) > 0 {
		t.Fatalf("%d rows, dead letters %v", len(rows), letters)
	}
	wantSameRows(t, rows, n, 3)
}

func TestRecordsWhoseKeyOrHeaderIsNoValueAreDeadLetters(t *testing.T) {
	w := newWorld(t, 1)
	w.registerArtifact(1, trainedBy(t, strings.Replace(enveloped, "nullable: true, from: key", "nullable: false, from: key", 1)))
	w.promote(1)
	bad := map[int64]string{}
	var records []*kgo.Record
	add := func(reason string, change func(*kgo.Record)) {
		r := around(t, "{}", len(records))
		change(r)
		if reason != "" {
			bad[int64(len(records))] = reason
		}
		records = append(records, r)
	}
	add("", func(*kgo.Record) {})
	add(`column "origin" from key: want string, found a string that is not UTF-8`, func(r *kgo.Record) { r.Key = []byte("\xff") })
	add(`column "origin" from key: want string, found null, and the column is not nullable`, func(r *kgo.Record) { r.Key = nil })
	add("", func(r *kgo.Record) { r.Key = []byte{} })
	add(`column "distance" from header:distance: want int64, found a text that is not one`, func(r *kgo.Record) { r.Headers[2].Value = []byte("far") })
	add(`column "distance" from header:distance: want int64, found a number out of range`, func(r *kgo.Record) { r.Headers[2].Value = []byte("9223372036854775808") })
	add("", func(r *kgo.Record) { r.Headers = nil })
	add("", func(r *kgo.Record) { r.Headers[2].Value = nil })
	add("malformed JSON: want an object, found 'x' at byte 0", func(r *kgo.Record) { r.Value = []byte("x") })
	w.produceRecords(records...)
	s := w.start()
	s.waitCommitted(int64(len(records)))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	reasons := make(map[int64]string)
	for at, l := range letters {
		reasons[at] = l.Reason
	}
	if !maps.Equal(reasons, bad) || len(rows)+len(letters) != len(records) {
		t.Errorf("%d rows, dead letters %v, want %v", len(rows), reasons, bad)
	}
	if got := rows[3].cells["origin"] + "|" + rows[6].cells["distance"] + "|" + rows[7].cells["distance"]; got != "|(null)|(null)" {
		t.Errorf("an empty key, no header and a null header gave %s", got)
	}
}

// asCSV is goodEvent as a line.
func asCSV(n int) string {
	return fmt.Sprintf("gate %d;2001-03-%02d %02d:00:00;%d;\"a%d\"", n, 1+n%28, n%24, 100+n%2000, n%7)
}

func TestCSVEventsScoreAsJSONEventsDo(t *testing.T) {
	w := newWorld(t, 1)
	w.registerArtifact(2, trainedBy(t, strings.Replace(artifacttest.Flights, "{type: json}", `{type: csv, delimiter: ";", columns: [gate, date, distance, origin]}`, 1)))
	w.promote(1)
	const n = 200
	w.produceGood(0, n)
	s := w.start()
	s.waitCommitted(n)
	w.promote(2)
	s.wait("version 2", func(s Status) bool { return s.Model.Version == 2 })
	var lines []string
	for i := range n {
		lines = append(lines, asCSV(i))
	}
	w.produce(append(lines, "1;2;3")...)
	s.waitCommitted(2*n + 1)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	wantSameRows(t, rows, n, 2)
	if len(letters) != 1 || letters[2*n].Reason != "wrong number of fields: want 4, found 3" {
		t.Errorf("dead letters %+v", letters)
	}
}

const flightAvro = `{"type":"record","name":"Flight","fields":[
	{"name":"date","type":{"type":"long","logicalType":"timestamp-micros"}},
	{"name":"distance","type":["null","long"]},
	{"name":"origin","type":["null","string"]}]}`

// asAvro is goodEvent as a value of flightAvro.
func asAvro(t testing.TB, schema *avro.Schema, n int) []byte {
	t.Helper()
	at, err := time.Parse(time.DateTime, fmt.Sprintf("2001-03-%02d %02d:00:00", 1+n%28, n%24))
	if err != nil {
		t.Fatal(err)
	}
	b, err := schema.Encode(map[string]any{"date": at, "distance": int64(100 + n%2000), "origin": fmt.Sprintf("a%d", n%7)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// schemaRegistry serves schemas as the API of a registry does. While down is
// set it answers 503.
func schemaRegistry(t testing.TB, schemas map[int]string) (address string, down *atomic.Bool) {
	down = new(atomic.Bool)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(path.Base(r.URL.Path))
		switch text, ok := schemas[id]; {
		case down.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case !ok:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error_code":40403,"message":"Schema not found"}`)
		default:
			_ = json.NewEncoder(w).Encode(map[string]any{"schema": text})
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, down
}

func wire(id int, value []byte) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id)), value...))
}

// A stream of Avro waits while its registry is down, says so, and loses nothing.
func TestAvroEventsScoreAsJSONEventsDoOnceTheRegistryAnswers(t *testing.T) {
	w := newWorld(t, 1)
	address, down := schemaRegistry(t, map[int]string{7: flightAvro, 8: strings.Replace(flightAvro, `"fields":[`, `"fields":[{"name":"gate","type":"string","default":""},`, 1)})
	client, err := registry.New(registry.Config{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.registry.Schemas = func(connection string) (events.Schemas, error) {
		if connection != "schemas" {
			t.Errorf("connection %q", connection)
		}
		return client, nil
	}
	w.registerArtifact(2, trainedBy(t, strings.Replace(artifacttest.Flights, "{type: json}", "{type: avro, schema_registry: schemas}", 1)))
	w.promote(1)
	const n = 200
	w.produceGood(0, n)
	s := w.start()
	s.waitCommitted(n)
	w.promote(2)
	s.wait("version 2", func(s Status) bool { return s.Model.Version == 2 })

	down.Store(true)
	schema := avro.MustParse(flightAvro)
	var values []string
	for i := range n {
		value := asAvro(t, schema, i)
		if i%2 == 0 {
			values = append(values, wire(7, value))
		} else {
			values = append(values, wire(8, append([]byte("\x06B12"), value...)))
		}
	}
	good := asAvro(t, schema, 1)
	bad := []struct{ event, reason string }{
		{wire(9, good), "the registry has no schema 9"},
		{string(good), "not in Confluent's wire format"},
		{wire(7, good[:3]), "malformed Avro: the event ends within a number"},
		{wire(7, append(good, 0)), "malformed Avro: bytes behind the record"},
	}
	for _, b := range bad {
		values = append(values, b.event)
	}
	w.produce(values...)
	s.wait("the registry", func(s Status) bool { return s.Scored == n && strings.Contains(s.Message, address) })
	down.Store(false)
	s.waitCommitted(int64(2*n + len(bad)))
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	wantSameRows(t, rows, n, 2)
	if len(letters) != len(bad) {
		t.Errorf("%d dead letters", len(letters))
	}
	for i, b := range bad {
		if l := letters[int64(2*n+i)]; !strings.Contains(l.Reason, b.reason) || string(l.Raw) != b.event {
			t.Errorf("got %q, want %q", l.Reason, b.reason)
		}
	}
}

// The schema of a file is part of the version: what becomes of the file does
// not matter any more.
func TestTheSchemaOfAFileIsPartOfTheVersion(t *testing.T) {
	w := newWorld(t, 1)
	a := trainedBy(t, strings.Replace(artifacttest.Flights, "{type: json}", `{type: avro, schema_file: "s3://lake/flight.avsc"}`, 1))
	if _, err := a.Encode(nil); err == nil {
		t.Error("a version without its schema can be saved")
	}
	a.EventSchema = flightAvro
	w.registerArtifact(1, a)
	w.promote(1)
	schema := avro.MustParse(flightAvro)
	var values []string
	for i := range 50 {
		values = append(values, string(asAvro(t, schema, i)))
	}
	w.produce(values...)
	s := w.start()
	s.waitCommitted(50)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	w.judge()
	rows, letters := w.read(0)
	if len(rows) != 50 || len(letters) > 0 || rows[3].cells["origin"] != "A3" {
		t.Errorf("%d rows, dead letters %v", len(rows), letters)
	}
	for at, row := range rows {
		if want := fmt.Sprint(100 + at%2000); row.cells["distance"] != want {
			t.Errorf("offset %d has the distance %s, want %s", at, row.cells["distance"], want)
		}
	}
}
