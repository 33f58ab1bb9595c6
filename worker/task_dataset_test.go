package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/coordinator/api/stages"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/table/delta"
	"github.com/thalweg/thalweg/worker/product"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// trainedOn returns a batch half whose spec has trained version 1.
func trainedOn(t *testing.T, spec string) *batchHalf {
	t.Helper()
	b := newBatchHalf(t)
	b.spec = spec
	b.all(1)
	return b
}

// score carries out a job that scores a dataset, by so many tasks, and returns the last
// report.
func (b *batchHalf) score(tasks uint32, arguments map[string]string) *apiv1.TaskReport {
	b.t.Helper()
	job := *b
	job.inputs = map[string]string{}
	all := map[string]string{stages.ModelArgument: "flights", stages.VersionArgument: "1 " + b.inputs["checkpoint"], stages.IntoArgument: "s3://lake/out/"}
	maps.Copy(all, arguments)
	lease := func(l *apiv1.Lease) *apiv1.Lease {
		l.Verb, l.Arguments, l.Reducers = stages.ScoreVerb, all, 1
		return l
	}
	report := job.task(lease(&apiv1.Lease{Kind: "profile", Reduce: true}))
	if report.Error != "" {
		return report
	}
	job.inputs["manifest"] = report.Outputs["manifest"]
	var partials []string
	shards := uint32(report.Counts["shards"])
	for i := range tasks {
		report := job.task(lease(&apiv1.Lease{Kind: "score", Index: i, ShardFrom: i * shards / tasks, ShardTo: (i + 1) * shards / tasks}))
		if report.Error != "" {
			return report
		}
		partials = append(partials, report.Partials...)
	}
	return job.task(lease(&apiv1.Lease{Kind: "score", Reduce: true, Partials: partials}))
}

// objects returns those below a prefix of the lake, but for the log of the table, which
// has a clock.
func (b *batchHalf) objects(prefix string) map[string]string {
	b.t.Helper()
	all := make(map[string]string)
	for info, err := range b.lake.List(b.t.Context(), prefix, "") {
		if err != nil {
			b.t.Fatal(err)
		}
		body, _, err := b.lake.Get(b.t.Context(), info.Key)
		if err != nil {
			b.t.Fatal(err)
		}
		if !strings.Contains(info.Key, "_delta_log/") {
			all[info.Key] = string(body)
		}
	}
	return all
}

// scoredRow is what a table says of a row.
type scoredRow struct {
	distance    int64
	prediction  bool
	probability uint64 // its bits
}

// rows returns the rows of a table by object and row, read as its log says.
func (b *batchHalf) rows(prefix string) map[string]scoredRow {
	b.t.Helper()
	log := delta.New(b.lake, prefix)
	s, err := log.Load(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string]scoredRow)
	for add, err := range log.Files(b.t.Context(), s) {
		if err != nil {
			b.t.Fatal(err)
		}
		body, _, err := b.lake.Get(b.t.Context(), prefix+add.Path)
		if err != nil {
			b.t.Fatal(err)
		}
		for rec, err := range engine.Records(add.Path, body, []string{"_object", "_row", "distance", "prediction", "probability"}, nil) {
			if err != nil {
				b.t.Fatal(err)
			}
			for i := range int(rec.NumRows()) {
				id := rec.Column(0).ValueStr(i) + ":" + rec.Column(1).ValueStr(i)
				if _, twice := out[id]; twice {
					b.t.Errorf("row %s is there twice", id)
				}
				out[id] = scoredRow{rec.Column(2).(*array.Int64).Value(i), rec.Column(3).(*array.Boolean).Value(i), math.Float64bits(rec.Column(4).(*array.Float64).Value(i))}
			}
		}
	}
	return out
}

// wanted returns what the scorer of the stream says of the flights.
func (b *batchHalf) wanted(ext string) map[string]scoredRow {
	b.t.Helper()
	trained, err := b.worker.artifact(b.t.Context(), b.inputs["checkpoint"])
	if err != nil {
		b.t.Fatal(err)
	}
	d, err := b.worker.openData(b.t.Context(), &apiv1.Lease{Pipeline: "flights", Spec: b.spec, Inputs: b.inputs})
	if err != nil {
		b.t.Fatal(err)
	}
	scorer, err := trained.NewScorer(pipeline.InScoring)
	if err != nil {
		b.t.Fatal(err)
	}
	out := make(map[string]scoredRow)
	for shard := range flightShards {
		for batch, err := range d.batches(b.t.Context(), shard, new(pipeline.Report)) {
			if err != nil {
				b.t.Fatal(err)
			}
			cleaned, predictions, err := scorer.Score(b.t.Context(), batch, nil)
			if err != nil {
				b.t.Fatal(err)
			}
			distance := cleaned.Column(cleaned.Schema().FieldIndices("distance")[0]).(*array.Int64)
			for i, row := range table.Rows(cleaned) {
				out[fmt.Sprintf("flights/%d.%s:%d", shard, ext, row)] = scoredRow{distance.Value(i), scorer.Decide(predictions[i]), math.Float64bits(float64(predictions[i]))}
			}
			cleaned.Release()
		}
	}
	return out
}

// A dataset of any format gets the bits that the stream gives the same rows, in the same
// objects however many tasks there are and however often they are done, whole or in part.
func TestRowsOfADatasetGetTheBitsOfTheStream(t *testing.T) {
	b := trainedOn(t, strings.Replace(textSpec, "TRAIN", `{s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}`, 1))
	asText(t, b.lake, "csv", csvLine, "distance,delay,origin\n")
	asText(t, b.lake, "jsonl", jsonLine, "")
	for ext, format := range map[string]string{"parquet": "", "csv": `{type: csv, quote: '"'}`, "jsonl": "jsonl"} {
		into, want := "s3://lake/out/"+ext+"/", b.wanted(ext)
		prefix, arguments := "out/"+ext+"/", map[string]string{stages.FromArgument: "s3://lake/flights/*." + ext, stages.IntoArgument: into, stages.FormatArgument: format}
		report := b.score(1, arguments)
		if report.Error != "" || report.Counts["rows_in"] != flightShards*flightRows || report.Counts["rows_out"] != flightShards*flightRows || report.Outputs["table"] != into+" version 0" {
			t.Fatalf("%s: %v", ext, report)
		}
		if got := b.rows(prefix); !maps.Equal(got, want) {
			t.Errorf("%s: %d rows are not the %d of the stream", ext, len(got), len(want))
		}
		once := b.objects(prefix)
		report = b.score(3, arguments)
		if report.Outputs["table"] != into+" version 0, which has these rows already" || !maps.Equal(b.objects(prefix), once) {
			t.Errorf("%s again: %v", ext, report)
		}
		// What a run that was killed left is made whole, with the same bytes.
		for key := range once {
			if strings.HasPrefix(key, prefix+"data/") {
				if err := b.lake.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		if report = b.score(flightShards, arguments); report.Error != "" || !maps.Equal(b.objects(prefix), once) {
			t.Errorf("%s made whole: %v", ext, report)
		}
	}
}

// nullable returns flights of which each tenth has no distance.
func nullable(t *testing.T) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "distance", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "origin", Type: arrow.BinaryTypes.String}}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for i := range int64(1000) {
		if rows.Field(1).(*array.StringBuilder).Append("airport 1"); i%10 == 3 {
			rows.Field(0).AppendNull()
			continue
		}
		rows.Field(0).(*array.Int64Builder).Append(i - 100)
	}
	batch := rows.NewRecord()
	defer batch.Release()
	var out bytes.Buffer
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
	if err == nil {
		err = w.Write(batch)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Each row of a dataset is in the table, rejected with its place and reason, or dropped by
// a step; with too many rejected ones, the table stays as it was.
func TestRowsThatCannotBeScoredAreRejectedByName(t *testing.T) {
	spec := strings.Replace(textSpec, "TRAIN", `{s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}`, 1)
	b := trainedOn(t, strings.Replace(spec, `"distance > 0"}`, `"distance > 0", apply_to: [training, scoring]}`, 1))
	csv := "origin,distance\n"
	for i := range 1000 {
		switch csv += fmt.Sprintf("airport 1,%d\n", i-100); {
		case i%10 == 3:
			csv += "airport 1,many\n"
		}
	}
	for key, body := range map[string][]byte{"new/a.parquet": nullable(t), "new/a.csv": []byte(csv)} {
		if _, err := b.lake.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	for ext, want := range map[string]struct {
		in, out, dropped int64
		first            product.Reject
	}{
		"parquet": {1000, 900 - 91, 91, product.Reject{Object: "new/a.parquet", Row: 3, Stage: "read", Reason: "column distance is null in a column that is declared to have no nulls"}},
		"csv":     {1100, 899, 101, product.Reject{Object: "new/a.csv", Row: 4, Line: 6, Offset: 73, Stage: "read", Text: "airport 1,many"}},
	} {
		arguments := map[string]string{stages.FromArgument: "s3://lake/new/*." + ext, stages.IntoArgument: "s3://lake/out/" + ext + "/", stages.FormatArgument: ext}
		report := b.score(1, arguments)
		if !strings.Contains(report.Error, "100 of 1,") || !strings.Contains(report.Error, "at most 5% may be") || !report.Permanent {
			t.Errorf("%s, most: %v", ext, report)
		}
		if len(b.rows("out/"+ext+"/")) > 0 {
			t.Errorf("%s: a table that is refused has rows", ext)
		}
		arguments[stages.MaxRejectArgument] = "10%"
		report = b.score(1, arguments)
		if c := report.Counts; report.Error != "" || c["rows_in"] != want.in || c["rows_out"] != want.out || c["rows_rejected"] != 100 || c["rows_dropped"] != want.dropped || c["dropped: 1 filter: distance > 0"] != want.dropped {
			t.Errorf("%s: %v", ext, report)
		}
		if n := int64(len(b.rows("out/" + ext + "/"))); n != want.out {
			t.Errorf("%s: the table has %d rows", ext, n)
		}
		var lines []string
		for key, body := range b.objects("out/" + ext + "/_rejects/") {
			if !strings.HasSuffix(key, ".jsonl") {
				t.Error(key)
			}
			lines = strings.Split(strings.TrimSpace(body), "\n")
		}
		var first product.Reject
		if len(lines) != 100 || json.Unmarshal([]byte(lines[0]), &first) != nil {
			t.Fatalf("%s: %q", ext, lines)
		}
		if want.first.Reason == "" {
			if !strings.Contains(first.Reason, "distance") {
				t.Errorf("%s: %v", ext, first)
			}
			first.Reason = ""
		}
		if fmt.Sprint(first) != fmt.Sprint(want.first) {
			t.Errorf("%s: %+v, want %+v", ext, first, want.first)
		}
	}
}

// A dataset that lacks a column, a place that is taken, and arguments that mean nothing
// are refused before a row is scored.
func TestADatasetThatCannotBeScoredIsRefusedByName(t *testing.T) {
	b := trainedOn(t, flightSpec)
	for key, text := range map[string]string{"csv/a.csv": "distanze,origin\n1,x\n", "taken/a.txt": "x", "sink/_log/t/00000/000000000000.intent.json": "{}"} {
		if _, err := b.lake.Put(t.Context(), key, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if report := b.score(1, map[string]string{stages.FromArgument: "s3://lake/flights/0.parquet", stages.IntoArgument: "s3://lake/mine/"}); report.Error != "" {
		t.Fatal(report)
	}
	other := &product.Table{Place: storage.Place{Bucket: b.lake, Name: "lake", Prefix: "theirs/"}, Owner: "others", Use: "scored rows"}
	if err := other.Claim(t.Context()); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string][2]string{
		"it has no distance (the nearest is distanze), no gates": {stages.FormatArgument, "csv"},
		"other objects are there: taken/a.txt":                   {stages.IntoArgument, "s3://lake/taken/"},
		"it lies in another table or sink: sink/_log/":           {stages.IntoArgument, "s3://lake/sink/below/"},
		"it lies in another table or sink: mine/_table.json":     {stages.IntoArgument, "s3://lake/mine/below/"},
		"it is the table of scored rows of pipeline others":      {stages.IntoArgument, "s3://lake/theirs/"},
		"is no s3://bucket/prefix/":                              {stages.IntoArgument, "s3://lake/out"},
		"max_rejected many: want a share":                        {stages.MaxRejectArgument, "many"},
		"argument color: is none of":                             {"color", "red"},
		"argument into: is missing":                              {stages.IntoArgument, ""},
		"no object matches":                                      {stages.FromArgument, "s3://lake/none/*"},
		`"ab" is not one ASCII character`:                        {stages.FormatArgument, `{type: csv, delimiter: "ab"}`},
		`"yaml" is not allowed here (one of parquet, csv, jsonl`: {stages.FormatArgument, "yaml"},
	} {
		arguments := map[string]string{stages.FromArgument: "s3://lake/flights/*.parquet"}
		if change[1] == "csv" {
			arguments[stages.FromArgument] = "s3://lake/csv/*"
		}
		arguments[change[0]] = change[1]
		if report := b.score(1, arguments); !strings.Contains(report.Error, want) || !report.Permanent {
			t.Errorf("%v: %v, want %s", change, report, want)
		}
	}
}

// arrowFile is an object of Arrow IPC with flights whose delay is of another type.
func arrowFile(t *testing.T, delay arrow.DataType, origins ...string) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "distance", Type: arrow.PrimitiveTypes.Int64}, {Name: "delay", Type: delay, Nullable: true}, {Name: "origin", Type: arrow.BinaryTypes.String}}, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rows.Release()
	for i, origin := range origins {
		rows.Field(0).(*array.Int64Builder).Append(int64(100 * i))
		rows.Field(1).AppendEmptyValue()
		rows.Field(2).(*array.StringBuilder).Append(origin)
	}
	batch := rows.NewRecord()
	defer batch.Release()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if len(origins) > 0 {
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A column that the model does not read, as that of the label, may have become another
// type, also one that no column can be of.
func TestColumnsThatNobodyReadsMayHaveChanged(t *testing.T) {
	b := trainedOn(t, strings.Replace(textSpec, "TRAIN", `{s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}`, 1))
	for name, types := range map[string][]arrow.DataType{"float": {arrow.PrimitiveTypes.Float64}, "text": {arrow.BinaryTypes.String},
		"odd": {arrow.BinaryTypes.Binary}, "struct": {arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64})}, "both": {arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String}} {
		for i, typ := range types {
			if _, err := b.lake.Put(t.Context(), fmt.Sprintf("%s/%d.arrow", name, i), arrowFile(t, typ, "airport 1", "airport 2")); err != nil {
				t.Fatal(err)
			}
		}
		report := b.score(1, map[string]string{stages.FromArgument: "s3://lake/" + name + "/*", stages.IntoArgument: "s3://lake/of/" + name + "/", stages.FormatArgument: "arrow"})
		if n := int64(2 * len(types)); report.Error != "" || report.Counts["rows_out"] != n || report.Counts["rows_rejected"] != 0 {
			t.Errorf("%s: %v", name, report)
		}
	}
	if _, err := b.lake.Put(t.Context(), "empty/0.arrow", arrowFile(t, arrow.PrimitiveTypes.Int64)); err != nil {
		t.Fatal(err)
	}
	if report := b.score(1, map[string]string{stages.FromArgument: "s3://lake/empty/*", stages.FormatArgument: "arrow"}); !strings.Contains(report.Error, "from s3://lake/empty/*: its objects have no rows") || !report.Permanent {
		t.Errorf("no rows: %v", report)
	}
}

// A file with another header that comes first changes nothing about those that were
// scored before.
func TestFilesWithAnotherHeaderLeaveThoseThatAreScored(t *testing.T) {
	b := trainedOn(t, strings.Replace(textSpec, "TRAIN", `{s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}`, 1))
	arguments := map[string]string{stages.FromArgument: "s3://lake/new/*.csv", stages.FormatArgument: "csv"}
	var before map[string]string
	for _, file := range [][2]string{{"b", "origin,distance\nairport 1,7\n"}, {"a", "distance,origin\n8,airport 2\n"}} {
		if _, err := b.lake.Put(t.Context(), "new/"+file[0]+".csv", []byte(file[1])); err != nil {
			t.Fatal(err)
		}
		if report := b.score(1, arguments); report.Error != "" {
			t.Fatal(report)
		}
		now := b.objects("out/_parts/")
		for key := range before {
			if now[key] == "" {
				t.Errorf("%s was made again under another name", key)
			}
		}
		before = now
	}
	if len(before) != 2 {
		t.Errorf("%d parts", len(before))
	}
}
