package worker

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
)

// oneRow is an object of each format with a column x of the value 7, and others of texts.
func oneRow(t *testing.T, format string, also ...string) []byte {
	t.Helper()
	switch format {
	case "csv":
		text := "x"
		for _, a := range also {
			text += "," + strings.Split(a, "=")[0]
		}
		text += "\n7"
		for _, a := range also {
			text += "," + strings.Split(a, "=")[1]
		}
		return []byte(text + "\n")
	case "jsonl":
		text := `{"x":7`
		for _, a := range also {
			name, value, _ := strings.Cut(a, "=")
			text += fmt.Sprintf(",%q:%q", name, value)
		}
		return []byte(text + "}\n")
	}
	fields := []arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64}}
	for _, a := range also {
		fields = append(fields, arrow.Field{Name: strings.Split(a, "=")[0], Type: arrow.BinaryTypes.String})
	}
	schema := arrow.NewSchema(fields, nil)
	rows := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	rows.Field(0).(*array.Int64Builder).Append(7)
	for i, a := range also {
		rows.Field(i + 1).(*array.StringBuilder).Append(strings.Split(a, "=")[1])
	}
	var out bytes.Buffer
	if format == "arrow" {
		if err := ipc.NewWriter(&out, ipc.WithSchema(schema)).Write(rows.NewRecord()); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	w, err := dataset.NewWriter(&out, schema, dataset.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(rows.NewRecord()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readAll returns the columns of objects, "name type", and their rows, the values of a
// row in the order of the columns.
func readAll(t *testing.T, format, schema string, objects map[string][]byte, only ...string) (columns, rows []string, m *dataset.Manifest, err error) {
	t.Helper()
	lake := storememory.New()
	for key, body := range objects {
		if _, err := lake.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
	}
	spec, err := pipeline.Parse(catalog.All(), "s.yaml", []byte(strings.Replace(ofFormat("**/*", "{type: "+format+"}"), "\n  preprocessing:", "\n  schema: "+schema+"\n  preprocessing:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	from, err := Source(spec, DatasetFormats())
	if err != nil {
		t.Fatal(err)
	}
	from.Bucket, from.Pattern = lake, "**/*"
	m, found, err := from.Discover(t.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if only != nil {
		found.Columns = slices.DeleteFunc(found.Columns, func(c table.Column) bool { return !slices.Contains(only, c.Name) })
	}
	for _, c := range found.Columns {
		columns = append(columns, c.Name+" "+string(c.Type))
	}
	for shard := range m.Shards {
		r, err := from.OpenRows(t.Context(), m, shard, found, dataset.ReaderConfig{})
		if err != nil {
			return nil, nil, nil, err
		}
		defer r.Close()
		for {
			batch, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, nil, nil, err
			}
			if !batch.Schema().Equal(found.Arrow()) && format == "parquet" {
				t.Errorf("schema %s, want %s", batch.Schema(), found.Arrow())
			}
			for row := range int(batch.NumRows()) {
				var text []string
				for _, c := range batch.Columns()[:len(found.Columns)] {
					text = append(text, cmp.Or(c.ValueStr(row), "''"))
				}
				rows = append(rows, strings.Join(text, " "))
			}
			batch.Release()
		}
	}
	return columns, rows, m, nil
}

func TestFoldersOfKeysFillColumnsInAllFormats(t *testing.T) {
	const undeclared = "{timezone: UTC}"
	for _, c := range []struct {
		name, schema  string
		keys          map[string][]string // columns beside x in the object
		only          []string
		columns, rows string
	}{
		{"whole numbers, leading zeros too", undeclared, map[string][]string{"f/year=2001/month=01/p": nil, "f/year=2001/month=12/p": nil}, nil,
			"x int64, year int64, month int64", "7 2001 1, 7 2001 12"},
		{"dates, null, texts", undeclared, map[string][]string{"d=2001-02-03/t=a/p": nil, "d=__HIVE_DEFAULT_PARTITION__/t=__HIVE_DEFAULT_PARTITION__/p": nil}, nil,
			"x int64, d timestamp, t string", "7 2001-02-03 00:00:00Z a, 7 (null) (null)"},
		{"one value that is no number", undeclared, map[string][]string{"v=1/p": nil, "v=1.5/p": nil, "v=/p": nil}, nil, "x int64, v string", "7 '', 7 1.5, 7 1"},
		{"a date that would be a number", undeclared, map[string][]string{"d=20200101/p": nil, "d=2021-01-01/p": nil}, nil, "x int64, d string", "7 20200101, 7 2021-01-01"},
		{"escapes", undeclared, map[string][]string{"a%20b=x%2Fy%3Dz/p": nil, "a%20b=%zz/p": nil}, nil, "x int64, a b string", "7 %zz, 7 x/y=z"},
		{"null everywhere", undeclared, map[string][]string{"v=__HIVE_DEFAULT_PARTITION__/p": nil}, nil, "x int64, v string", "7 (null)"},
		{"an object without the folder", undeclared, map[string][]string{"q/p": nil, "r/v=3/p": nil}, nil, "x int64, v int64", "7 (null), 7 3"},
		{"the object's own column stands", undeclared, map[string][]string{"r=q/v=3/p": {"v=own"}, "r=s/v=4/p": nil}, nil, "x int64, v string, r string", "7 own q, 7 (null) s"},
		{"nothing but folders is read", undeclared, map[string][]string{"v=3/p": nil, "v=4/p": nil}, []string{"v"}, "v int64", "3, 4"},
		{"declared", "{timezone: America/New_York, columns: [{name: x, type: int64}, {name: s, type: string}, {name: f, type: float64}, {name: b, type: bool}, {name: d, type: timestamp}]}",
			map[string][]string{"s=01/f=2/b=true/d=2001-02-03 04%3A05%3A06/p": nil}, nil, "x int64, s string, f float64, b bool, d timestamp", "7 01 2 true 2001-02-03 09:05:06Z"},
	} {
		for _, format := range []string{"parquet", "csv", "jsonl", "arrow"} {
			objects := make(map[string][]byte)
			for key, also := range c.keys {
				objects[key] = oneRow(t, format, also...)
			}
			columns, rows, m, err := readAll(t, format, c.schema, objects, c.only...)
			if got := strings.Join(columns, ", "); err != nil || got != c.columns || strings.Join(rows, ", ") != c.rows {
				t.Errorf("%s, %s: %s: %q, %v, want %s: %s", c.name, format, got, rows, err, c.columns, c.rows)
			}
			if c.name == "an object without the folder" && (len(m.Gaps) != 1 || m.Gaps[0].Column != "v" || m.Gaps[0].Rows != 1) {
				t.Errorf("%s: gaps %+v", format, m.Gaps)
			}
		}
	}
	for want, c := range map[string]struct{ schema, key string }{
		`object v=a/p: its folder says that v is "a", which is no int64`: {"{columns: [{name: v, type: int64}]}", "v=a/p"},
		"its folders say what v is twice":                                {undeclared, "v=1/v=2/p"},
		"declared to have no nulls":                                      {"{columns: [{name: v, type: string, nullable: false}]}", "v=__HIVE_DEFAULT_PARTITION__/p"},
		"column v: it has pii":                                           {"{columns: [{name: v, type: string, pii: drop}]}", "v=a/p"},
		"which is no list<int64>":                                        {"{columns: [{name: v, type: list<int64>}]}", "v=1/p"},
	} {
		for _, format := range []string{"parquet", "jsonl"} {
			if _, _, _, err := readAll(t, format, c.schema, map[string][]byte{c.key: oneRow(t, format)}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %v, want %s", format, c.key, err, want)
			}
		}
	}
	// Files without a header have the declared fields but for those of folders.
	lake := storememory.New()
	rows, bad := readTable(t, lake, "v=a/p", "1,2\n", `{"type": "csv", "header": false, "columns": ["x", "y"]}`, texty("x", "v", "y"))
	if fmt.Sprint(rows) != "[[1 a 2]]" || bad != nil {
		t.Errorf("without a header: %v, %v", rows, bad)
	}
	columns, read, _, err := readAll(t, "csv, header: false", "{columns: [{name: v, type: string}, {name: x, type: int64}]}", map[string][]byte{"v=a/p": []byte("1\n")})
	if strings.Join(columns, ", ") != "x int64, v string" || strings.Join(read, ", ") != "1 a" || err != nil {
		t.Errorf("without a header: %q, %q, %v", columns, read, err)
	}
}

// inFolders is flights of which the folder says the origin's state.
func inFolders(t *testing.T, move string) *batchHalf {
	b := newBatchHalf(t)
	for i := range flightShards {
		body, _, err := b.lake.Get(t.Context(), fmt.Sprintf("flights/%d.parquet", i))
		if err == nil {
			_, err = b.lake.Put(t.Context(), fmt.Sprintf("flights/zone=%d/%s/%d.parquet", i/2, move, i), body)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.spec = strings.NewReplacer("flights/*.parquet", "flights/zone=*/**/*.parquet", "{name: origin, type: category}", "{name: origin, type: category}\n    - {name: zone, type: category}").Replace(flightSpec)
	return b
}

// A run of folders is the same by however many tasks, shows their columns, and what is
// kept of an object is not that of the same object in another folder.
func TestAModelOfFoldersIsTheSameByAnyNumberOfTasks(t *testing.T) {
	b := inFolders(t, "a")
	want, _, counts := b.all(1)
	if got := b.inputs["partitions"]; got != "zone int64" {
		t.Errorf("partitions: %q", got)
	}
	decoded := b.decoded()
	if again, _, _ := b.again().all(3); !maps.Equal(again, want) || b.decoded() != decoded {
		t.Errorf("again: %v, want %v", again, want)
	}
	if got, _, gotCounts := inFolders(t, "a").all(flightShards); !maps.Equal(got, want) || !maps.Equal(gotCounts, counts) {
		t.Errorf("by one task a shard: %v, want %v", got, want)
	}
	// The same bytes below other folders.
	for i := range flightShards {
		body, _, err := b.lake.Get(t.Context(), fmt.Sprintf("flights/zone=%d/a/%d.parquet", i/2, i))
		if err == nil {
			_, err = b.lake.Put(t.Context(), fmt.Sprintf("flights/zone=%d/a/%d.parquet", 5+i, i), body)
		}
		if err == nil {
			err = b.lake.Delete(t.Context(), fmt.Sprintf("flights/zone=%d/a/%d.parquet", i/2, i))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got, _, _ := b.again().all(2)
	if b.decoded() == decoded || got["model_sha256"] == want["model_sha256"] {
		t.Errorf("other folders: %v rows decoded, before %v", b.decoded(), decoded)
	}
}

// badRows yields batches of one row that cannot be read, and looks at what is kept of them.
type badRows struct {
	left, most int
	memory     *memory.CheckedAllocator
}

func (r *badRows) Next() (arrow.Record, error) {
	if r.most = max(r.most, r.memory.CurrentAlloc()); r.left == 0 {
		return nil, io.EOF
	}
	r.left--
	b := array.NewRecordBuilder(r.memory, arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil))
	defer b.Release()
	b.Field(0).AppendNull()
	return b.NewRecord(), nil
}

func (r *badRows) Place() table.Place { return table.Place{} }
func (r *badRows) Close() error       { return nil }

// However many batches without a good row there are, none is kept once it is rejected.
func TestBatchesOfBadRowsAreNotKept(t *testing.T) {
	from := &badRows{left: 500, memory: memory.NewCheckedAllocator(memory.DefaultAllocator)}
	rejected := 0
	r := &RowReader{from: from, columns: table.Schema{Columns: []table.Column{{Name: "x", Type: table.Int64}}}, reject: func(pipeline.BadRow) { rejected++ }}
	if _, err := r.Next(); err != io.EOF || rejected != 500 || from.most > 10_000 {
		t.Errorf("%v, %d rows rejected, %d bytes kept", err, rejected, from.most)
	}
	from.memory.AssertSize(t, 0)
}
