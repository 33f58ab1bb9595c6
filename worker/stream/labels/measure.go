package labels

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/evaluation"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/worker/shuffle"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// observedRows is how many rows a sample is shown at a time, at least but for the last.
const observedRows = 1 << 15

// measured is the rows of a version that are measured.
type measured struct {
	Version
	trained *Trained
	answer  pipeline.Answer
	sample  *metric.Sample // nil: it is not begun, or cannot be measured
	slices  *evaluation.Slices
	// slicedBy are the columns of these.
	slicedBy []string
	// Rows that the sample has not seen.
	predictions, labels []float32
	parts               []uint8
}

// measure compares the answers of labelled rows with their labels.
func (r *run) measure(ctx context.Context, late *shuffle.Late) error {
	var rows []shuffle.Labelled // of one file
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		file := rows[0].File
		r.at(int64(len(r.Files)+file), int64(2*len(r.Files)), "answers")
		err := r.file(ctx, r.Files[file], rows)
		rows = rows[:0]
		return err
	}
	for row, err := range late.Join(ctx) {
		if err != nil {
			return err
		}
		if len(rows) > 0 && rows[0].File != row.File {
			if err := flush(); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
	return flush()
}

// file measures the rows of a file that have a label.
func (r *run) file(ctx context.Context, name string, rows []shuffle.Labelled) error {
	// Which columns a label reads, its version says, which is loaded with its first row.
	for batch, err := range r.read(ctx, name, nil) {
		if err != nil {
			return err
		}
		numbers := table.Rows(batch.Rows)
		n := 0
		for n < len(rows) && len(numbers) > 0 && rows[n].Row <= numbers[len(numbers)-1] {
			n++
		}
		if n == 0 {
			continue
		}
		if err := r.batch(ctx, batch, rows[:n]); err != nil {
			return err
		}
		if rows = rows[n:]; len(rows) == 0 {
			break
		}
	}
	return nil
}

// reads are the columns that the label of a plan reads.
func reads(plan *pipeline.Plan) []string {
	if plan.Label.Expression != nil {
		return plan.Label.Expression.Columns()
	}
	return []string{plan.Label.Column}
}

// batch measures the labelled rows of a batch.
func (r *run) batch(ctx context.Context, batch engine.RowBatch, rows []shuffle.Labelled) error {
	versions, ok := find[*array.Int64](batch, versionColumn)
	if !ok {
		return notScored("a file")
	}
	first := table.Rows(batch.Rows)[0]
	byGroup := make(map[thalweg.ModelVersion][]int)
	var order []thalweg.ModelVersion
	for _, row := range rows {
		i := int(row.Row - first)
		of := thalweg.ModelVersion(versions.Value(i))
		if byGroup[of] == nil {
			order = append(order, of)
		}
		byGroup[of] = append(byGroup[of], i)
		r.report.Labelled++
		r.group(of).Labelled++
		if row.Null {
			r.report.Null++
		}
	}
	labelled := withLabel(batch.Rows, r.Label, rows, first)
	defer labelled.Release()
	for _, of := range order {
		m := r.group(of)
		if err := r.load(ctx, m); err != nil {
			return err
		}
		if m.Unmeasured != "" {
			continue
		}
		if err := m.observe(batch, labelled, byGroup[of]); err != nil {
			return err
		}
	}
	return nil
}

// load gets a version.
func (r *run) load(ctx context.Context, m *measured) (err error) {
	if m.trained != nil || m.Unmeasured != "" {
		return nil
	}
	m.trained, err = r.Sources.Version(ctx, m.Version.Version)
	if thalweg.Is(err, thalweg.NotFound) {
		m.Unmeasured = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	a := m.trained.Artifact
	m.answer, m.Judged, m.Trained = a.Answer(), m.trained.Judged, m.trained.Metrics
	for _, name := range reads(a.Plan()) {
		_, column, ok := a.Plan().Cleaned.Lookup(name)
		if name == r.Label.Name && ok && column.Type != r.Label.Type {
			m.Unmeasured = fmt.Sprintf("column %s is %s in its training data, and %s now", name, column.Type, r.Label.Type)
			return nil
		}
	}
	catalog := r.Spec.Entries(pipeline.Metrics)
	if m.sample, err = metric.NewSample(catalog, m.answer, false); err != nil {
		return err
	}
	var ways []pipeline.SliceSpec
	for _, way := range r.Spec.Spec.Evaluation.Slices {
		carried := a.Plan().Carried
		if i := slices.IndexFunc(way.Columns, func(name string) bool { return carried != nil && !carried[name] }); i >= 0 {
			r.skip("version %d: rows are not sliced by %s: scored rows do not have %s", m.Version.Version, strings.Join(way.Columns, ", "), way.Columns[i])
			continue
		}
		ways, m.slicedBy = append(ways, way), append(m.slicedBy, way.Columns...)
	}
	m.slices = evaluation.NewSlices(ways, func() (*metric.Sample, error) { return metric.NewSample(catalog, m.answer, true) })
	return nil
}

// observe shows rows of a batch to the sample.
func (m *measured) observe(batch engine.RowBatch, labelled arrow.Record, which []int) error {
	labels, valid, err := m.trained.Artifact.Transform.Labels(labelled, nil)
	if thalweg.Is(err, thalweg.Invalid) {
		m.Unmeasured, m.sample = err.Error(), nil
		return nil
	}
	if err != nil {
		return err
	}
	scores, err := engine.ScoresOf(batch.Rows, engine.ScoreColumn(m.answer.Type))
	if err != nil {
		return err
	}
	partitions, ok := find[*array.Int64](batch, partitionColumn)
	offsets, alsoOK := find[*array.Int64](batch, offsetColumn)
	if !ok || !alsoOK {
		return notScored("a file")
	}
	n, width := 0, 0
	from := len(m.labels)
	for _, i := range which {
		if valid != nil && !valid[i] {
			continue
		}
		of := scores.Of(i)
		if width = len(of); slices.ContainsFunc(of, math.IsNaN) {
			continue
		}
		for _, v := range of {
			m.predictions = append(m.predictions, float32(v)) // as it was before it was widened
		}
		m.labels = append(m.labels, labels[i])
		m.parts = append(m.parts, metric.Part(0, int(partitions.Value(i)), offsets.Value(i)))
		which[n] = i
		n++
	}
	if n > 0 && m.sliced(batch.Rows.Schema()) {
		if err := m.slices.Observe(batch.Rows, which[:n], m.predictions[len(m.predictions)-n*width:], m.labels[from:], m.parts[from:]); err != nil {
			return err
		}
	}
	if len(m.labels) >= observedRows {
		m.show()
	}
	return nil
}

// sliced reports whether rows have the columns that they are sliced by: those that an earlier
// generation scored need not.
func (m *measured) sliced(rows *arrow.Schema) bool {
	return !slices.ContainsFunc(m.slicedBy, func(name string) bool { return len(rows.FieldIndices(name)) == 0 })
}

// show shows the rows that wait to the sample.
func (m *measured) show() {
	m.sample.Observe(m.predictions, m.labels, m.parts)
	m.predictions, m.labels, m.parts = m.predictions[:0], m.labels[:0], m.parts[:0]
}

// finish says what was measured.
func (m *measured) finish(spec *pipeline.Spec) (err error) {
	m.Rate = share(m.Labelled, m.Rows)
	if m.sample == nil {
		return nil
	}
	m.show()
	if m.Live, err = m.sample.Estimates(); err != nil {
		return err
	}
	if m.Sliced, err = m.slices.Measure(spec); err != nil {
		return err
	}
	for name, now := range m.Live {
		of := metric.Find(spec.Entries(pipeline.Metrics), m.answer.Type, name)
		then, both := m.Trained[name]
		if of == nil || !both {
			continue
		}
		if m.Change == nil {
			m.Change = make(map[string]metric.Estimate)
		}
		d := change(now, then)
		m.Change[name] = d
		if d.Interval != nil && (of.HigherIsBetter && d.Interval[1] < 0 || !of.HigherIsBetter && d.Interval[0] > 0) {
			m.Worse = append(m.Worse, name)
		}
	}
	slices.Sort(m.Worse)
	return nil
}

// withLabel returns a batch with the labels of some rows as a column, null in all others. The
// caller releases it.
func withLabel(rows arrow.Record, of table.Column, labelled []shuffle.Labelled, first int64) arrow.Record {
	label := labelColumn(int(rows.NumRows()), of.Type, labelled, first)
	defer label.Release()
	fields, columns := []arrow.Field{{Name: of.Name, Type: of.Type.ArrowType(), Nullable: true}}, []arrow.Array{label}
	for i, c := range rows.Columns() {
		if name := rows.ColumnName(i); name != of.Name {
			fields, columns = append(fields, rows.Schema().Field(i)), append(columns, c)
		}
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, rows.NumRows())
}

// labelColumn is the labels of n rows.
func labelColumn(n int, of table.Type, labelled []shuffle.Labelled, first int64) arrow.Array {
	mem, valid := memory.DefaultAllocator, table.NewMask(n)
	each := func(put func(i int, l *shuffle.Labelled)) {
		for k := range labelled {
			if l := &labelled[k]; !l.Null {
				i := int(l.Row - first)
				valid.Set(i)
				put(i, l)
			}
		}
	}
	switch of {
	case table.Bool:
		yes := table.NewMask(n)
		each(func(i int, l *shuffle.Labelled) {
			if l.Value != 0 {
				yes.Set(i)
			}
		})
		return table.NewColumn(mem, of, n, yes.Buffer(mem), valid)
	case table.Float64:
		buf, out := table.Alloc(mem, n, arrow.Float64Traits)
		clear(out)
		each(func(i int, l *shuffle.Labelled) { out[i] = math.Float64frombits(l.Value) })
		return table.NewColumn(mem, of, n, buf, valid)
	case table.String:
		texts := array.NewStringBuilder(mem)
		defer texts.Release()
		buf, out := table.Alloc(mem, n, arrow.Int32Traits)
		clear(out)
		known := make(map[uint64]int32)
		each(func(i int, l *shuffle.Labelled) {
			at, ok := known[l.Value]
			if !ok {
				at = int32(len(known))
				known[l.Value] = at
				texts.Append(l.Text)
			}
			out[i] = at
		})
		entries := texts.NewArray()
		defer entries.Release()
		return table.NewText(mem, n, buf, valid, entries)
	default: // int64, timestamp
		buf, out := table.Alloc(mem, n, arrow.Int64Traits)
		clear(out)
		each(func(i int, l *shuffle.Labelled) { out[i] = int64(l.Value) })
		return table.NewColumn(mem, of, n, buf, valid)
	}
}
