package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// shadowPrefix is of the columns that say what the candidate of a shadow has answered.
const shadowPrefix = "_shadow_"

// shadowVersion is the column that says which version that is.
const shadowVersion = shadowPrefix + "version"

// column is one of the rows of both arms.
type column struct {
	field arrow.Field
	typ   table.Type
	// at is its place in the rows of each arm, -1 where an arm's have none.
	at [rollout.Arms]int
}

// layOut settles the columns of rows: those of the champion's, and of a canary those that
// only the candidate's have, behind them; of a shadow what the candidate answers besides. One
// that is not of both may be null.
func (e *armsEngine) layOut() error {
	champion, candidate := e.arms[rollout.Champion].output.OutputArrow(), e.arms[rollout.Candidate].output.OutputArrow()
	for i, f := range champion.Fields() {
		e.columns = append(e.columns, column{f, table.TypeOf(f.Type), [rollout.Arms]int{i, -1}})
	}
	named := func(name string) int {
		return slices.IndexFunc(e.columns, func(c column) bool { return c.field.Name == name })
	}
	if e.shadow {
		added := e.arms[rollout.Candidate].output.AddedColumns()
		first := candidate.NumFields() - len(added)
		for i, c := range added {
			name := shadowPrefix + c.Name
			if c.Name == "_model_version" {
				name = shadowVersion
			} else if strings.HasPrefix(c.Name, "_") {
				continue // where the row is from: the same
			}
			if named(name) >= 0 {
				return fmt.Errorf("rows have a column %s already", name)
			}
			f := candidate.Field(first + i)
			f.Name, f.Nullable = name, true
			e.columns = append(e.columns, column{f, table.TypeOf(f.Type), [rollout.Arms]int{-1, first + i}})
		}
		return nil
	}
	for i, f := range candidate.Fields() {
		k := named(f.Name)
		if k < 0 {
			f.Nullable = true
			e.columns = append(e.columns, column{f, table.TypeOf(f.Type), [rollout.Arms]int{-1, i}})
			continue
		}
		c := &e.columns[k]
		if t := table.TypeOf(f.Type); t != c.typ {
			return fmt.Errorf("column %s of the rows is %s of the champion and %s of the candidate", f.Name, c.typ, t)
		}
		c.at[rollout.Candidate] = i
		c.field.Nullable = c.field.Nullable || f.Nullable
	}
	for i := range e.columns {
		if e.columns[i].at[rollout.Candidate] < 0 {
			e.columns[i].field.Nullable = true
		}
	}
	return nil
}

// armRows are the rows of an arm on their way into files.
type armRows struct {
	engine *artifactEngine
	from   artifact.Origin
	pieces []piece // that are not laid out yet
	rec    arrow.Record
	rows   []int64 // offsets of rec that are not written yet
}

// more lays out the next piece where all of the one before is written, and reports whether
// there are rows.
func (r *armRows) more() (bool, error) {
	for len(r.rows) == 0 {
		r.release()
		if len(r.pieces) == 0 {
			return false, nil
		}
		p := r.pieces[0]
		r.pieces = r.pieces[1:]
		rec, err := r.engine.output.Output(p.cleaned, p.predictions, r.from)
		if err != nil {
			return false, err
		}
		r.rec, r.rows = rec, offsetsOf(p.cleaned)
	}
	return true, nil
}

// next is the number in rec of the next row.
func (r *armRows) next() int { return int(r.rec.NumRows()) - len(r.rows) }

func (r *armRows) release() {
	if r.rec != nil {
		r.rec.Release()
	}
	r.rec = nil
}

// Encode implements Engine.
func (e *armsEngine) Encode(in commitlog.Intent, r *Rows) ([]File, error) {
	if r.arms == nil {
		return nil, nil
	}
	var of [rollout.Arms]*armRows
	for k := range of {
		from := artifact.Origin{Topic: in.Topic, Partition: in.Partition, Version: e.arms[k].model.Version, Generation: in.SpecGeneration, ScoredAt: in.ScoredAtUS}
		of[k] = &armRows{engine: e.arms[k].artifactEngine, from: from, pieces: r.arms[k].pieces}
		defer of[k].release()
	}
	cfg := e.arms[rollout.Champion].cfg
	files := Files{Config: dataset.WriterConfig{Compression: cfg.Compression, Pool: cfg.Pool}}
	for {
		block, err := e.block(&of)
		if err != nil {
			return nil, err
		}
		if block == nil {
			return files.Close()
		}
		switch {
		case block.NumRows() == 0:
		case in.PartitionBy == "":
			err = files.Write("", block)
		case in.PartitionBy == scoredAt:
			err = files.Write(dayName(dayOf(in.ScoredAtUS)), block)
		default:
			err = EachDay(block, in.PartitionBy, files.Write)
		}
		block.Release()
		if err != nil {
			return nil, err
		}
	}
}

// block returns the next rows in the order of offsets, as far as both arms are laid out; nil
// where there are none left. Of a shadow they are the champion's, and what the candidate says
// of the same events.
func (e *armsEngine) block(of *[rollout.Arms]*armRows) (arrow.Record, error) {
	a, b := of[rollout.Champion], of[rollout.Candidate]
	var picks, besides []table.Pick
	pick := func(k int) {
		picks = append(picks, table.Pick{Part: int32(k), Row: int32(of[k].next())})
		of[k].rows = of[k].rows[1:]
	}
	hasA, err := a.more()
	if err != nil {
		return nil, err
	}
	hasB, err := b.more()
	if err != nil {
		return nil, err
	}
	if e.shadow && !hasA || !hasA && !hasB {
		return nil, nil
	}
	for hasA || hasB {
		switch {
		case e.shadow:
			for hasB && b.rows[0] < a.rows[0] { // the champion has no row of it
				b.rows = b.rows[1:]
				hasB = len(b.rows) > 0
			}
			if !hasB && len(b.pieces) > 0 { // what it says of this event is not laid out yet
				return e.gather(of, picks, besides)
			}
			beside := table.Nowhere
			if hasB && b.rows[0] == a.rows[0] {
				beside = table.Pick{Part: rollout.Candidate, Row: int32(b.next())}
			}
			besides = append(besides, beside)
			pick(rollout.Champion)
		case !hasB || hasA && a.rows[0] < b.rows[0]:
			pick(rollout.Champion)
		default:
			pick(rollout.Candidate)
		}
		// Where one has come to the end of what is laid out, the next of it may be before
		// those of the other.
		if hasA && len(a.rows) == 0 || hasB && len(b.rows) == 0 {
			break
		}
	}
	return e.gather(of, picks, besides)
}

// gather makes a record of picked rows.
func (e *armsEngine) gather(of *[rollout.Arms]*armRows, picks, besides []table.Pick) (arrow.Record, error) {
	fields := make([]arrow.Field, len(e.columns))
	columns := make([]arrow.Array, 0, len(e.columns))
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, c := range e.columns {
		fields[i] = c.field
		var parts [rollout.Arms]arrow.Array
		for k, at := range c.at {
			if at >= 0 && of[k].rec != nil {
				parts[k] = of[k].rec.Column(at)
			}
		}
		from := picks
		if e.shadow && c.at[rollout.Champion] < 0 {
			from = besides
		}
		gathered, err := table.Gather(memory.DefaultAllocator, c.typ, parts[:], from)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.field.Name, err)
		}
		columns = append(columns, gathered)
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, int64(len(picks))), nil
}
