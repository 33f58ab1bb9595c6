package profile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
	"github.com/thalweg/thalweg/storage/dataset"
	storememory "github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/worker/cluster"
)

// Files of several versions of a pipeline have one profile, and a stretch of their rows
// is chosen by places; a column that is of two types is named.
func TestScoredRowsOfAllFilesHaveAProfile(t *testing.T) {
	bucket := storememory.New()
	var files []cluster.File
	write := func(columns []table.Column, rows ...[]any) {
		schema := table.Schema{Columns: columns}
		var out bytes.Buffer
		w, err := dataset.NewWriter(&out, schema.Arrow(), dataset.WriterConfig{})
		if err == nil {
			err = w.Write(tabletest.Batch(memory.DefaultAllocator, schema, 0, rows...))
		}
		if err == nil {
			err = w.Close()
		}
		key := fmt.Sprint("rows-", len(files), ".parquet")
		if err == nil {
			_, err = bucket.Put(t.Context(), key, out.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, cluster.File{Key: key, Path: "s3://lake/" + key})
	}
	offset, prediction := table.Column{Name: "_offset", Type: table.Int64}, table.Column{Name: "prediction", Type: table.Bool}
	write([]table.Column{offset, prediction}, []any{int64(0), true}, []any{int64(1), false}, []any{int64(2), true})
	write([]table.Column{offset, prediction, {Name: "origin", Type: table.String}}, []any{int64(3), true, "ORD"}, []any{int64(4), false, "LGA"})
	rows, err := rowsOf(t.Context(), bucket, files)
	if err == nil {
		rows, err = rows.Where("_offset >= 1 and _offset < 4")
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := rows.Profile(t.Context(), "prediction")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(p.Rows)
	for _, c := range p.Columns[:3] {
		got += fmt.Sprintf("; %s %d nulls %s to %s", c.Name, c.Nulls, c.Min, c.Max)
	}
	if want := "3; _offset 0 nulls 1 to 3; prediction 0 nulls false to true; origin 2 nulls ORD to ORD"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	write([]table.Column{offset, {Name: "origin", Type: table.Int64}}, []any{int64(5), int64(7)})
	if _, err := rowsOf(t.Context(), bucket, files); err == nil || !strings.Contains(err.Error(), "column origin is int64, in files before it string") {
		t.Errorf("got %v", err)
	}
}
