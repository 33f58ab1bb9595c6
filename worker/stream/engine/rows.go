package engine

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/monitor"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Rows is what one span has been scored to, until it is committed.
type Rows struct {
	Topic      string
	Partition  int
	Generation thalweg.Generation
	Model      Model
	Engine     Engine
	Replay     string // ID of the replay's intent, "" if the rows are the stream's own

	// Settled: the events were scored before, and what became of them is claimed or sent.
	Settled bool
	// OfCandidate counts the events that the candidate of a canary had, of all.
	OfCandidate struct{ Events, Dead int64 }

	PartitionBy string             // column by whose days the rows are split, "" for none
	days        map[int64]struct{} // that there are rows of
	Full        bool               // a row of one more day came: the span must not grow

	Watch   *monitor.Config // how rows are counted; nil: they are not
	chosen  []chosenEvent   // in the order of offsets
	counts  monitor.Sketch  // of what is dead and, once the rows are encoded, of all
	counted bool
	flaw    error // why rows were not counted

	Send *Outgoing // gets the rows of each batch; nil: they go to no topic

	To             int64
	FirstAvailable int64   // what a claim has before it is lost
	Missing        []int64 // offsets of a replay's claim, in order, that the topic does not have any more
	pieces         []piece
	arms           *[rollout.Arms]Rows // of a rollout: the rows of each version, and pieces has none
	Scored         int64
	dead           bytes.Buffer
	Rejected       int64            // lines in dead
	LastReason     string           // of them
	Unfit          map[string]int64 // values of the last batch, by column, that are null because they did not fit
	Notes          map[string]int64 // events of the last batch that fail data tests of severity warn, and the like, by what they do
	Gaps           []commitlog.Gap
	// adopted is the object of dead letters that is there, where it has others
	// besides those in dead.
	adopted []byte

	encoded []File // the scored rows as Parquet, kept for another try
	scratch bytes.Buffer
}

// piece is some consecutive rows.
type piece struct {
	cleaned     arrow.Record    // table.RowColumn last
	predictions []float32       // as many for each row as the model has outputs
	bytes       int64           // that both take
	found       pipeline.Report // by data tests, and of tables
}

func (p *piece) rows() int { return int(p.cleaned.NumRows()) }

// of returns the predictions of rows [from, to).
func (p *piece) of(from, to int) []float32 {
	width := len(p.predictions) / p.rows()
	return p.predictions[from*width : to*width]
}

func (p *piece) size() {
	p.bytes = int64(4 * cap(p.predictions))
	for _, c := range p.cleaned.Columns() {
		p.bytes += bufferBytes(c.Data())
		if d, ok := c.(*array.Dictionary); ok {
			p.bytes += bufferBytes(d.Dictionary().Data())
		}
	}
}

// bufferBytes returns the bytes of an array's buffers. What several arrays
// share counts for each.
func bufferBytes(d arrow.ArrayData) int64 {
	n := int64(0)
	for _, b := range d.Buffers() {
		if b != nil {
			n += int64(b.Cap())
		}
	}
	for _, c := range d.Children() { // of lists
		n += bufferBytes(c)
	}
	return n
}

// DeadLetters returns the dead letters of the slot, once they are published.
func (r *Rows) DeadLetters() []byte {
	if r.adopted != nil {
		return r.adopted
	}
	return r.dead.Bytes()
}

// SizeBytes returns the memory that the rows take.
func (r *Rows) SizeBytes() int64 {
	n := int64(r.dead.Cap()+r.scratch.Cap()+cap(r.adopted)) + int64(cap(r.chosen))*chosenBytes + r.counts.SizeBytes()
	for i := range r.encoded {
		n += int64(cap(r.encoded[i].Body))
	}
	for i := range r.pieces {
		n += r.pieces[i].bytes
	}
	if r.arms != nil {
		for k := range r.arms {
			n += r.arms[k].SizeBytes()
		}
	}
	return n
}

func releaseAll(pieces []piece) {
	for _, p := range pieces {
		p.cleaned.Release()
	}
}

// Release frees the memory of the rows.
func (r *Rows) Release() {
	releaseAll(r.pieces)
	r.pieces = nil
	if r.arms != nil {
		for k := range r.arms {
			r.arms[k].Release()
		}
	}
}

// Add takes in what a batch became. It owns pieces from then on.
func (r *Rows) Add(b *Batch, pieces []piece, letters []byte, lost []Reject) error {
	if b.From != r.To {
		releaseAll(pieces)
		return fmt.Errorf("a batch from offset %d does not follow %d", b.From, r.To)
	}
	for _, p := range pieces {
		if len(p.predictions) == 0 {
			p.cleaned.Release()
			continue
		}
		p.size()
		r.pieces = append(r.pieces, p)
		r.Scored += p.cleaned.NumRows()
	}
	r.dead.Write(letters)
	r.Rejected += int64(len(lost))
	r.watch(b, lost)
	if n := len(lost); n > 0 {
		r.LastReason = lost[n-1].Reason
	}
	for _, g := range b.Gaps {
		if n := len(r.Gaps); n > 0 && r.Gaps[n-1][1] == g[0] {
			r.Gaps[n-1][1] = g[1]
		} else {
			r.Gaps = append(r.Gaps, g)
		}
	}
	r.To = b.To
	r.compact()
	return nil
}

// mergeRows is the size up to which pieces are merged.
const mergeRows = 4096

// compact merges small pieces, each with one of at least half its size, so
// that a stream of a few events a batch does not hold thousands of records of
// a few rows: every row is copied at most log2(mergeRows) times.
func (r *Rows) compact() {
	for len(r.pieces) >= 2 {
		n := len(r.pieces)
		a, b := r.pieces[n-2], r.pieces[n-1]
		if a.rows()+b.rows() > mergeRows || a.rows() > 2*b.rows() {
			return
		}
		merged, err := concat(a.cleaned, b.cleaned)
		if err != nil {
			return // they stay as they are, which only costs memory
		}
		a.cleaned.Release()
		b.cleaned.Release()
		both := piece{cleaned: merged, predictions: append(a.predictions, b.predictions...)}
		both.size()
		r.pieces = append(r.pieces[:n-2], both)
	}
}

// concat returns the rows of a and then those of b, which have one schema.
func concat(a, b arrow.Record) (arrow.Record, error) {
	columns := make([]arrow.Array, 0, a.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i := range int(a.NumCols()) {
		var c arrow.Array
		var err error
		if first, ok := a.Column(i).(*array.Dictionary); ok {
			c, err = concatStrings(first, b.Column(i))
		} else {
			c, err = array.Concatenate([]arrow.Array{a.Column(i), b.Column(i)}, memory.DefaultAllocator)
		}
		if err != nil {
			return nil, fmt.Errorf("merge column %s: %w", a.ColumnName(i), err)
		}
		columns = append(columns, c)
	}
	return array.NewRecord(a.Schema(), columns, a.NumRows()+b.NumRows()), nil
}

// concatStrings is array.Concatenate for dictionaries of strings. Arrow's own
// gives other strings where rows are null and the dictionaries differ.
func concatStrings(a *array.Dictionary, b arrow.Array) (arrow.Array, error) {
	entries, indices := array.NewStringBuilder(memory.DefaultAllocator), array.NewInt32Builder(memory.DefaultAllocator)
	defer entries.Release()
	defer indices.Release()
	indices.Reserve(a.Len() + b.Len())
	known := make(map[string]int32)
	for _, c := range []arrow.Array{a, b} {
		d, ok := c.(*array.Dictionary)
		if !ok {
			return nil, fmt.Errorf("%s and %s", arrowtype.Name(a.DataType()), arrowtype.Name(c.DataType()))
		}
		values, ok := d.Dictionary().(*array.String)
		if !ok {
			return nil, fmt.Errorf("a dictionary of %s", arrowtype.Name(d.Dictionary().DataType()))
		}
		for i := range d.Len() {
			if d.IsNull(i) {
				indices.AppendNull()
				continue
			}
			v := values.Value(d.GetValueIndex(i))
			at, ok := known[v]
			if !ok {
				at = int32(len(known))
				known[v] = at
				entries.Append(v)
			}
			indices.Append(at)
		}
	}
	keys, dictionary := indices.NewArray(), entries.NewArray()
	defer keys.Release()
	defer dictionary.Release()
	return array.NewDictionaryArray(a.DataType(), keys, dictionary), nil
}
