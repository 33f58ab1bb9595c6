package localdata

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/balance"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/quality"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
)

// droppedRows is the split of rows that are in none.
const droppedRows = "dropped"

// Cleaned is what Clean has written.
type Cleaned struct {
	File    string           `json:"file"`
	Rows    int64            `json:"rows"`
	Splits  map[string]int64 `json:"splits"`
	Dropped map[string]int64 `json:"dropped,omitempty"`
	// Unmatched counts the rows that a table has no row for, by step and table.
	Unmatched map[string]int64 `json:"unmatched,omitempty"`
	// Repeated counts rows beyond the first of each that balancing repeats, by step.
	Repeated map[string]int64 `json:"repeated,omitempty"`
	// Errors and Warnings are what data tests say, by their severity.
	Errors   []string `json:"errors,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Tests    string   `json:"-"` // a line for each
}

// Clean writes the rows of a plan to a file, which is there only if all are.
func (d *Dataset) Clean(ctx context.Context, plan *pipeline.Plan, file string) (*Cleaned, error) {
	plan, cuts, err := d.prepared(ctx, plan)
	if err != nil {
		return nil, err
	}
	steps, _ := plan.Spec.Shuffles()
	if err := d.settle(ctx, plan, plan.Passes()[steps:]); err != nil {
		return nil, err
	}
	d.rejects = pipeline.Report{} // they are read again
	partial := file + ".partial"
	f, err := os.Create(partial)
	if err != nil {
		return nil, &thalweg.Error{Op: "write rows", Kind: thalweg.Invalid, Err: err}
	}
	defer os.Remove(partial)
	out, err := d.writeCleaned(ctx, plan, cuts, f)
	if err = cmp.Or(err, f.Close()); err == nil {
		err = os.Rename(partial, file)
	}
	if err != nil {
		return nil, err
	}
	out.File = file
	return out, nil
}

// prepared returns the plan that has learnt from all rows, and where their splits lie.
func (d *Dataset) prepared(ctx context.Context, plan *pipeline.Plan) (_ *pipeline.Plan, cuts *split.Cuts, err error) {
	d.Schema = plan.Input
	steps, _ := plan.Spec.Shuffles()
	if err = d.settle(ctx, plan, plan.Passes()[:steps]); err == nil {
		cuts, err = d.cuts(ctx, plan)
	}
	if err == nil {
		plan, err = d.learnt(ctx, plan, cuts)
	}
	if err == nil {
		d.balanced, err = d.balance(ctx, plan, cuts)
	}
	return plan, cuts, err
}

// cuts returns where the splits of the rows lie, as the clean stage of a run finds it.
func (d *Dataset) cuts(ctx context.Context, plan *pipeline.Plan) (*split.Cuts, error) {
	chain := clean.BeforeLearning(plan)
	observers := make([]split.Observer, len(d.Manifest.Shards))
	for i := range observers {
		var err error
		if observers[i], err = split.NewObserver(plan, split.Origin(d.Manifest.Origin(i))); err != nil {
			return nil, err
		}
	}
	err := d.eachPlace(ctx, func(batch arrow.Record, shard int, _ table.Place) error {
		cleaned, err := chain.With(d.settled[shard]).Apply(ctx, batch, nil)
		if err != nil {
			return err
		}
		defer cleaned.Release()
		return observers[shard].Observe(cleaned)
	})
	if err != nil {
		return nil, err
	}
	partials := make([][]byte, len(observers))
	for i, o := range observers {
		if partials[i], err = o.Partial(); err != nil {
			return nil, err
		}
	}
	return split.Finish(plan, partials)
}

// learnt returns the plan whose steps have learnt, as the learn stage of a run does it.
func (d *Dataset) learnt(ctx context.Context, plan *pipeline.Plan, cuts *split.Cuts) (*pipeline.Plan, error) {
	if !plan.Spec.Learns() {
		return plan, nil
	}
	partials := make([]map[string]json.RawMessage, 0, len(d.Manifest.Shards))
	learning := clean.NewLearning(plan)
	before := func(shard int) (err error) {
		for len(partials) < shard && err == nil {
			var partial map[string]json.RawMessage
			partial, err = learning.Partial()
			partials, learning = append(partials, partial), clean.NewLearning(plan)
		}
		return err
	}
	var parts []uint8
	err := d.eachPlace(ctx, func(batch arrow.Record, shard int, _ table.Place) error {
		if err := before(shard); err != nil {
			return err
		}
		learning.With(d.settled[shard])
		return learning.Observe(ctx, batch, func(cleaned arrow.Record) (_ []uint8, err error) {
			parts, err = cuts.Assign(plan, cleaned, split.Origin(d.Manifest.Origin(shard)), parts)
			return parts, err
		})
	})
	if err = cmp.Or(err, before(len(d.Manifest.Shards))); err != nil {
		return nil, err
	}
	learnt, err := clean.FinishLearning(plan, partials)
	if err != nil {
		return nil, err
	}
	return plan.WithLearnt(learnt)
}

// writeCleaned writes each row that was read, those that a step dropped after the
// others of their batch.
func (d *Dataset) writeCleaned(ctx context.Context, plan *pipeline.Plan, cuts *split.Cuts, w io.Writer) (*Cleaned, error) {
	chain := clean.New(plan, pipeline.InTraining)
	fields := chain.Schema().Arrow().Fields()
	fields = fields[:len(fields)-1] // without table.RowColumn
	for i := range fields {
		fields[i].Nullable = true
	}
	own := len(fields)
	text := arrow.BinaryTypes.String
	written := append(slices.Clone(fields), arrow.Field{Name: "_object_row", Type: arrow.PrimitiveTypes.Int64}, arrow.Field{Name: "_object", Type: text},
		arrow.Field{Name: split.ColumnName, Type: text}, arrow.Field{Name: "_reason", Type: text, Nullable: true})
	folded := plan.Spec.Spec.Preprocessing.Split.Folds > 0
	if folded {
		written = append(written, arrow.Field{Name: split.FoldColumn, Type: arrow.PrimitiveTypes.Int64, Nullable: true})
	}
	o := &cleanedWriter{schema: arrow.NewSchema(written, nil), folds: folded, counts: Cleaned{Splits: make(map[string]int64)}}
	var err error
	if o.out, err = dataset.NewWriter(w, o.schema, dataset.WriterConfig{}); err != nil {
		return nil, err
	}
	var parts []uint8
	var total pipeline.Report
	d.source.Skipped = total.NotDrawn
	tests := quality.New(plan, pipeline.InTraining)
	observer := tests.NewObserver()
	err = d.eachPlace(ctx, func(batch arrow.Record, shard int, at table.Place) error {
		rep := pipeline.Report{KeepRemoved: true}
		cleaned, err := chain.With(d.settled[shard]).Apply(ctx, batch, &rep)
		if err != nil {
			return err
		}
		defer cleaned.Release()
		removed := len(rep.Removed)
		if observer != nil {
			observer.With(d.settled[shard])
			if err := observer.Observe(cleaned, at, table.RowNumber(batch, 0), &rep); err != nil {
				return err
			}
		}
		if parts, err = cuts.Codes(plan, cleaned, split.Origin(d.Manifest.Origin(shard)), parts); err != nil {
			return err
		}
		copies := copies{most: 1}
		if plan.Spec.Trains() {
			usable, err := feature.Usable(plan, cleaned, &rep)
			if err == nil {
				copies, err = d.copiesOf(cleaned, parts, usable, shard, &rep)
			}
			if err != nil {
				return err
			}
		}
		reasons := make(map[int64]string)
		for _, r := range rep.Removed {
			reasons[r.Row] = r.Reason
		}
		at.Row -= table.RowNumber(batch, 0)
		if err := o.write(cleaned.Columns()[:own], table.Rows(cleaned), at, parts, reasons); err != nil {
			return err
		}
		for rows, parts := range copies.rounds(cleaned, parts, 1) {
			numbers := make([]int64, rows.NumRows())
			for i, row := range table.Rows(rows) {
				numbers[i] = balance.Original(row)
			}
			if err := o.write(rows.Columns()[:own], numbers, at, parts, nil); err != nil {
				return err
			}
		}
		lost := make([]int64, removed)
		for i, r := range rep.Removed[:removed] {
			lost[i] = r.Row
		}
		slices.Sort(lost)
		var nulls []arrow.Array
		for _, f := range fields[:own] {
			nulls = append(nulls, array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, removed))
		}
		total.Merge(&pipeline.Report{Dropped: rep.Dropped, Tested: rep.Tested, Tests: rep.Tests, Seen: rep.Seen, Unmatched: rep.Unmatched, Repeated: rep.Repeated})
		return o.write(nulls, lost, at, nil, reasons)
	})
	o.counts.Dropped, o.counts.Unmatched, o.counts.Repeated = total.Dropped, total.Unmatched, total.Repeated
	if err = cmp.Or(err, o.out.Close()); err != nil || tests == nil {
		return &o.counts, err
	}
	lines, err := tests.Lines("", 1, func(int) (map[string][]pipeline.FailedRow, error) {
		rows := make(map[string][]pipeline.FailedRow)
		for name, of := range total.Tests {
			rows[name] = of.Rows
		}
		return rows, nil
	})
	said := tests.Judge(&total, lines, nil)
	o.counts.Errors, o.counts.Warnings, o.counts.Tests = said.Errors, said.Warnings, said.Table
	return &o.counts, err
}

// cleanedWriter writes cleaned rows with where they are from and their splits.
type cleanedWriter struct {
	schema *arrow.Schema
	out    *dataset.Writer
	folds  bool // are written
	counts Cleaned
}

// write writes rows of an object: row r of the batch is at.Row + r of the object, and
// row i of the columns has the split and fold of codes[i], unless there is a reason why it was dropped.
func (o *cleanedWriter) write(columns []arrow.Array, rows []int64, at table.Place, codes []uint8, reasons map[int64]string) error {
	numbers, folds := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt64Builder(memory.DefaultAllocator)
	var texts [3]*array.StringBuilder
	for i := range texts {
		texts[i] = array.NewStringBuilder(memory.DefaultAllocator)
	}
	for i, row := range rows {
		numbers.Append(at.Row + row)
		texts[0].Append(at.Object)
		reason, dropped := reasons[row]
		part, fold := droppedRows, 0
		if dropped {
			texts[2].Append(reason)
		} else {
			part, fold = split.Names[split.Whole.Of(codes[i])], split.FoldOf(codes[i])
			texts[2].AppendNull()
			o.counts.Splits[part]++
		}
		texts[1].Append(part)
		if fold > 0 {
			folds.Append(int64(fold))
		} else {
			folds.AppendNull()
		}
	}
	o.counts.Rows += int64(len(rows))
	columns = append(slices.Clone(columns), numbers.NewArray())
	for _, b := range texts {
		columns = append(columns, b.NewArray())
	}
	if o.folds {
		columns = append(columns, folds.NewArray())
	}
	return o.out.Write(array.NewRecord(o.schema, columns, int64(len(rows))))
}
