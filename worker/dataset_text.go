package worker

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/spelling"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/storage/records"
)

const (
	// sampledShards and sampledRows, of all of them, bound what columns and types are found
	// by, where the spec does not declare them.
	sampledShards = 8
	sampledRows   = 20_000
	// maxBadRowBytes bounds what is kept of the bytes of a bad row.
	maxBadRowBytes = 512
)

// texts reads files of records that package event decodes one by one.
type texts struct {
	of func(options any) textFormat
}

// textFormat is how the options of a format are read.
type textFormat struct {
	records records.Format
	times   []string // formats
	// csv returns how records of some fields are read; nil: they are JSON.
	csv    func(columns []string) *event.CSVRows
	fields []string // of files without a header
}

func csvText(options any) textFormat {
	f := options.(*endpoint.CSV)
	delimiter, comment := f.Characters()
	rows := f.Rows(nil)
	return textFormat{csv: f.Rows, fields: f.Columns, times: f.TimestampFormats, records: records.Format{Quote: rows.Quote, Escape: rows.Escape,
		Delimiter: delimiter, Comment: comment, Header: *f.Header, Encoding: f.Encoding}}
}

func jsonlText(options any) textFormat {
	return textFormat{times: options.(*endpoint.JSONL).TimestampFormats}
}

// columns returns the fields of an object's records; nil for JSON, whose records name
// their own.
func (f *textFormat) columns(m *dataset.Manifest, object int, declared pipeline.SchemaSpec) (names []string, err error) {
	if f.csv == nil {
		return nil, nil
	}
	at := m.Objects[object].Header
	if at == 0 {
		if f.fields != nil {
			return f.fields, nil
		}
		for _, c := range declared.Columns {
			if !slices.Contains(m.Partitions, c.Name) {
				names = append(names, c.Name)
			}
		}
		if names == nil {
			return nil, &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Err: errors.New("files without a header do not say what their fields are"),
				Hint: "list them: format: {columns: […]}, or spec.schema.columns"}
		}
		return names, nil
	}
	seen, twice := make(map[string]bool), ""
	if strings.Count(m.Headers[at-1], string(f.records.Delimiter)) >= event.MaxColumns {
		return nil, manyColumns(m.Objects[object].Key, "the fields of its header, line 1,")
	}
	problem := f.csv(nil).Split([]byte(m.Headers[at-1]), func(text []byte, _ bool) {
		name := string(text)
		if name == "" { // of an index, as pandas writes it
			name = fmt.Sprintf("column_%d", len(names)+1)
		}
		if seen[name] && twice == "" {
			twice = fmt.Sprintf("it has the field %q twice", name)
		}
		seen[name] = true
		names = append(names, name)
	})
	if twice != "" && declared.Private() { // fields may be values
		twice = "it has a field twice"
	}
	problem = cmp.Or(problem, twice)
	if declared.Private() && !slices.ContainsFunc(declared.Columns, func(c pipeline.ColumnSpec) bool { return seen[c.Name] }) {
		problem = cmp.Or(problem, "it has none of the declared columns")
	}
	if len(names) == 1 && strings.ContainsAny(names[0], ",;\t|") && problem == "" {
		problem = fmt.Sprintf("its only field is %q", names[0])
	}
	if problem != "" {
		return nil, &thalweg.Error{Op: "read header", Kind: thalweg.Invalid, Subject: "object " + m.Objects[object].Key, Err: errors.New(problem),
			Hint: "look at delimiter and quote; files without a header have header: false"}
	}
	return names, nil
}

// manyColumns is the error of an object with more columns than a dataset may have.
func manyColumns(object, where string) error {
	return &thalweg.Error{Op: "read dataset", Kind: thalweg.Exhausted, Subject: "object " + object, Err: fmt.Errorf("%s are more than %d", where, event.MaxColumns),
		Hint: "look at the format of the file; values that are many are a list, or rows of a key"}
}

// Discover implements DatasetFormat. Columns have the types that the spec declares, and
// others those that a sample of the rows shows.
func (t texts) Discover(ctx context.Context, from DatasetSource) (*dataset.Manifest, table.Schema, error) {
	f := t.of(from.Options)
	m, err := dataset.DiscoverText(ctx, from.Bucket, from.Pattern, f.records, dataset.DiscoverConfig{Root: from.Root, Private: from.Schema.Private(), Skip: from.skip})
	if err != nil {
		return nil, table.Schema{}, err
	}
	schema, err := f.sample(ctx, from, m)
	if err != nil {
		return nil, table.Schema{}, err
	}
	var absent []string
	for _, d := range from.Schema.Columns {
		at, _, known := schema.Lookup(d.Name)
		odd := slices.IndexFunc(schema.Unsupported, func(u table.UnsupportedColumn) bool { return u.Name == d.Name })
		switch {
		case f.csv != nil && d.Type.Element() != "": // fields of CSV are no lists
		case known:
			schema.Columns[at].Type = d.Type
		case odd >= 0:
			schema.Unsupported = slices.Delete(schema.Unsupported, odd, odd+1)
			schema.Columns = append(schema.Columns, table.Column{Name: d.Name, Type: d.Type, Nullable: true})
		case f.csv == nil && *d.Nullable && !slices.Contains(m.Partitions, d.Name) && spelling.Nearest(d.Name, schema.Names()) == "":
			// A field that objects may have, and those of the sample have not.
			schema.Columns = append(schema.Columns, table.Column{Name: d.Name, Type: d.Type, Nullable: true})
			absent = append(absent, d.Name)
		}
	}
	if from.Schema.Private() { // names that are not declared may be values of a row
		declared := make(map[string]bool)
		for _, d := range from.Schema.Columns {
			declared[d.Name] = true
		}
		schema.Columns = slices.DeleteFunc(schema.Columns, func(c table.Column) bool { return !declared[c.Name] })
		schema.Unsupported = slices.DeleteFunc(schema.Unsupported, func(u table.UnsupportedColumn) bool { return !declared[u.Name] })
		m.Gaps = slices.DeleteFunc(m.Gaps, func(g dataset.Gap) bool { return !declared[g.Column] })
	}
	if len(absent) > 0 {
		m.Warnings = append(m.Warnings, fmt.Sprintf("columns that are in none of the rows that were looked at, the first of up to %d shards: %s", sampledShards, brief(strings.Join(absent, ", "))))
	}
	return m, schema, nil
}

// sample looks at the first rows of some shards, and notes the columns that objects
// lack.
func (f *textFormat) sample(ctx context.Context, from DatasetSource, m *dataset.Manifest) (table.Schema, error) {
	zone, err := zoneOf(from.Schema.Timezone)
	if err != nil {
		return table.Schema{}, err
	}
	s := event.NewSample(f.times, zone)
	lists := make(map[int][]string) // the fields, by header
	for i, o := range m.Objects {
		if _, known := lists[o.Header]; known || o.Rows == 0 && (o.Header == 0 || !from.Schema.Private()) {
			continue // of a private header that is none, the manifest would tell values
		}
		if lists[o.Header], err = f.columns(m, i, from.Schema); err != nil {
			return table.Schema{}, err
		}
		if s.Columns(lists[o.Header]); s.Len() > event.MaxColumns {
			return table.Schema{}, manyColumns(o.Key, "the fields of its header, with those of the objects before it,")
		}
	}
	if len(lists) > 1 {
		m.Gaps = gaps(m.Objects, lists, s.Schema())
	}
	n := min(len(m.Shards), sampledShards)
	for i := range n {
		if err := f.sampleShard(ctx, from, m, i*len(m.Shards)/n, sampledRows/n, s, lists); err != nil {
			return table.Schema{}, err
		}
	}
	schema := s.Schema()
	if len(schema.Columns)+len(schema.Unsupported)+len(from.Schema.Columns) == 0 {
		return schema, &thalweg.Error{Op: "read dataset", Kind: thalweg.Invalid, Subject: from.Pattern, Err: errors.New("no line that was looked at is a JSON object with fields"),
			Hint: "write one object a line: jq -c '.[]' FILE makes lines of an array"}
	}
	return schema, nil
}

// gaps returns the columns that objects lack, by the fields of each header.
func gaps(objects []dataset.Object, lists map[int][]string, all table.Schema) (out []dataset.Gap) {
	has := make(map[int]map[string]bool, len(lists))
	for header, names := range lists {
		has[header] = make(map[string]bool, len(names))
		for _, name := range names {
			has[header][name] = true
		}
	}
	for name := range all.Names() {
		gap := dataset.Gap{Column: name}
		for _, o := range objects {
			if o.Rows > 0 && !has[o.Header][name] {
				gap.Add(o)
			}
		}
		if gap.Objects > 0 {
			out = append(out, gap)
		}
	}
	return out
}

// sampleShard adds the first rows of a shard to a sample.
func (f *textFormat) sampleShard(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard, rows int, s *event.Sample, lists map[int][]string) error {
	r, err := dataset.OpenText(ctx, from.Bucket, m, shard, f.records, dataset.ReaderConfig{BatchRows: rows})
	if err != nil {
		return err
	}
	defer r.Close()
	var run records.Run
	if err := r.Next(&run); err != nil && err != io.EOF {
		return err
	}
	var csv *event.CSVRows
	if f.csv != nil {
		csv = f.csv(lists[m.Objects[m.Shards[shard].Object].Header])
	}
	for i := range run.Len() {
		switch {
		case run.Bad[i] != "":
		case csv != nil:
			s.CSV(run.Record(i), csv)
		default:
			if s.JSON(run.Record(i)); s.Len() > event.MaxColumns {
				return manyColumns(m.Objects[m.Shards[shard].Object].Key, fmt.Sprintf("the fields of the lines up to %d, of those that were looked at,", run.Places[i].Line))
			}
		}
	}
	return nil
}

// Open implements DatasetFormat.
func (t texts) Open(ctx context.Context, from DatasetSource, m *dataset.Manifest, shard int, columns table.Schema, cfg dataset.ReaderConfig) (DatasetReader, error) {
	f := t.of(from.Options)
	zone, err := zoneOf(from.Schema.Timezone)
	if err != nil {
		return nil, err
	}
	// Whatever fills a column when events are scored, here it is a field.
	want := table.Schema{Columns: slices.Clone(columns.Columns), Key: columns.Key}
	for i := range want.Columns {
		want.Columns[i].From, want.Columns[i].TrainingOnly = "", false
	}
	decode := event.Config{Zone: zone, Allocator: cfg.Allocator, MaxEventBytes: records.MaxBytes, Sparse: true, Unread: from.Unread, Private: from.Hides || from.Schema.Private()}
	r, err := dataset.OpenText(ctx, from.Bucket, m, shard, f.records, cfg)
	if err != nil {
		return nil, err
	}
	origin := m.Origin(shard)
	out := &textReader{ctx: ctx, from: r, object: origin.Object, base: origin.First, flat: f.csv != nil, reject: from.Reject, private: decode.Private}
	names, err := f.columns(m, m.Shards[shard].Object, from.Schema)
	if err == nil {
		if f.csv != nil {
			decode.Format = f.csv(names)
		} else {
			decode.Format = &event.JSONFormat{TimestampFormats: f.times}
		}
		out.decoder, err = event.NewDecoder(want, decode)
	}
	if err != nil {
		_ = r.Close() // never fails
		return nil, err
	}
	return out, nil
}

// textReader decodes the records of a shard.
type textReader struct {
	ctx     context.Context
	from    *dataset.TextReader
	decoder *event.Decoder
	object  string
	flat    bool // CSV
	reject  func(pipeline.BadRow)
	private bool
	run     records.Run
	numbers []int64
	base    int64 // the row of the object that the shard begins with
	first   int64 // row of the batch, in the shard
	next    int64
}

// Next implements DatasetReader. A batch has a row.
func (r *textReader) Next() (arrow.Record, error) {
	for {
		rows, err := r.decode()
		if err != nil || rows.NumRows() > 0 {
			return rows, err
		}
		rows.Release() // all were rejected
	}
}

// decode yields the rows of the next records.
func (r *textReader) decode() (arrow.Record, error) {
	if err := r.from.Next(&r.run); err != nil {
		return nil, err
	}
	r.first = r.next
	r.next += int64(r.run.Len())
	r.numbers = r.numbers[:0]
	for n := r.first; n < r.next; n++ {
		r.numbers = append(r.numbers, n)
	}
	rows, rejects, err := r.decoder.Decode(r.ctx, event.Events{Values: r.run.Values, Ends: r.run.Ends, Offsets: r.numbers, Unreadable: r.run.Bad})
	if err != nil {
		return nil, err
	}
	for _, bad := range rejects {
		row := r.bad(bad)
		if r.reject == nil {
			rows.Release()
			return nil, &thalweg.Error{Op: "read row", Kind: thalweg.Invalid, Subject: row.Place(), Err: errors.New(row.Reason),
				Hint: r.remedy(bad.Cause)}
		}
		r.reject(row)
	}
	if rows.NumRows() > 0 {
		r.first = table.RowNumber(rows, 0)
	}
	return rows, nil
}

// remedy says what to do about a row that cannot be read, and maybe others.
func (r *textReader) remedy(cause string) string {
	first := "declare the column as string, "
	switch {
	case cause == event.MalformedCSV:
		first = "say what stands around fields, format: {quote: …, escape: …} (quote: none if quotes are text), "
	case cause == event.WrongFields:
		first = "say what stands between fields and begins comments, format: {delimiter: …, comment: …}, "
	case cause == event.MalformedJSON:
		first = "write one object a line, as jq -c does (jq -c '.[]' of a list), "
	case strings.HasSuffix(cause, event.NotUTF8) && r.flat:
		first = "say how the text is encoded, format: {encoding: windows-1252}, "
	case strings.Contains(cause, "not nullable"):
		first = "declare the column nullable, "
	case !strings.Contains(cause, ": want ") || strings.Contains(cause, ": want string"):
		first = ""
	}
	return first + "mend the row, or leave such rows out: sources.train.on_bad_row: reject"
}

// bad says what is wrong with a row.
func (r *textReader) bad(reject event.Reject) pipeline.BadRow {
	at, record := r.run.Places[reject.Index], r.run.Record(reject.Index)
	text := strings.TrimRight(strings.ToValidUTF8(string(record[:min(len(record), maxBadRowBytes)]), "\ufffd"), "\r\n")
	if r.private {
		text = ""
	}
	lines := r.run.BadLines[reject.Index]
	if reject.Cause == event.MalformedCSV { // lines that a quote took in may be rows
		lines = int64(bytes.Count(bytes.TrimSuffix(record, []byte("\n")), []byte("\n"))) + 1
	}
	return pipeline.BadRow{Object: r.object, Number: r.base + reject.Row, Lines: lines, Line: at.Line, Offset: at.Offset, Row: text, Shapes: reject.Shapes,
		Reason: strings.ReplaceAll(reject.Reason, "the event", "the row")}
}

// Place implements DatasetReader.
func (r *textReader) Place() table.Place {
	return table.Place{Object: r.object, RowGroup: table.NoRowGroup, Row: r.base + r.first}
}

// Close implements DatasetReader.
func (r *textReader) Close() error { return r.from.Close() }
