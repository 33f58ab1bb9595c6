package engine

import (
	"context"
	"math"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// chooser decides which arm of a rollout scores an event. It goes by the value of a column as
// the candidate reads it, whose spec names the column; where an event has none, by the
// record's key; and where that is null, by the record's place. So it depends on the event and
// the pin alone.
type chooser struct {
	salt    rollout.Hash
	percent uint32
	column  *artifactEngine // decodes the column alone; nil: there is none
	arms    []int8
}

func newChooser(pin commitlog.Rollout, candidate *artifact.Artifact, cfg Config) (*chooser, error) {
	c := &chooser{salt: rollout.NewHash(pin.Salt), percent: pin.Percent}
	if pin.By == "" {
		return c, nil
	}
	decoder, err := candidate.NewColumnDecoder(pin.By, events.Config{MaxEventBytes: cfg.MaxEventBytes})
	if err != nil {
		return nil, err
	}
	c.column = &artifactEngine{cfg: cfg, decoder: decoder, fields: connectors.Keys | FieldsOf(candidate)}
	return c, nil
}

// choose returns the arm of each event of a batch, until it is called again.
func (c *chooser) choose(ctx context.Context, b *Batch, partition int) ([]int8, error) {
	c.arms = c.arms[:0]
	for i, offset := range b.Offsets() {
		h := c.salt
		if key := b.Records.Key(b.first + i); key != nil {
			h = h.Bytes(key)
		} else {
			h = h.Number(uint64(partition)).Number(uint64(offset))
		}
		c.arms = append(c.arms, int8(h.Arm(c.percent)))
	}
	if c.column == nil {
		return c.arms, nil
	}
	rec, _, err := c.column.decoder.Decode(ctx, c.column.events(b, partition))
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	offsets, at := b.Offsets(), 0
	byValue(c.salt, rec, func(row int, h rollout.Hash) {
		for offsets[at] != rowOf(rec, row) {
			at++
		}
		c.arms[at] = int8(h.Arm(c.percent))
	})
	return c.arms, nil
}

// rowOf returns the number of a row of a decoded batch.
func rowOf(rec arrow.Record, row int) int64 { return offsetsOf(rec)[row] }

// byValue yields, in order, the rows whose value in the first column is not null, with its
// hash.
func byValue(salt rollout.Hash, rec arrow.Record, yield func(row int, h rollout.Hash)) {
	var of func(row int) rollout.Hash
	switch column := rec.Column(0).(type) {
	case *array.Dictionary:
		words, _ := column.Dictionary().(*array.String)
		known := make([]rollout.Hash, words.Len())
		for i := range known {
			known[i] = salt.Text(words.Value(i))
		}
		of = func(row int) rollout.Hash { return known[column.GetValueIndex(row)] }
	case *array.Int64:
		of = func(row int) rollout.Hash { return salt.Number(uint64(column.Value(row))) }
	case *array.Timestamp:
		of = func(row int) rollout.Hash { return salt.Number(uint64(column.Value(row))) }
	case *array.Float64:
		of = func(row int) rollout.Hash { return salt.Number(math.Float64bits(column.Value(row))) }
	default:
		of = func(row int) rollout.Hash { return salt.Text(column.ValueStr(row)) }
	}
	for row := range int(rec.NumRows()) {
		if rec.Column(0).IsValid(row) {
			yield(row, of(row))
		}
	}
}

// RequestArms decides which arm scores rows that somebody asks about: by the column, or where
// a row has none, by its bytes. It is for one goroutine.
type RequestArms struct {
	salt    rollout.Hash
	percent uint32
	decoder *events.Decoder // nil: there is no column
	arms    []int
}

// NewRequestArms returns what decides for a rollout, as streams do by the same column.
func NewRequestArms(pin commitlog.Rollout, candidate *artifact.Artifact, cfg Config) (r *RequestArms, err error) {
	r = &RequestArms{salt: rollout.NewHash(pin.Salt), percent: pin.Percent}
	if pin.By != "" {
		r.decoder, err = candidate.NewRequestColumnDecoder(pin.By, events.Config{MaxEventBytes: cfg.MaxEventBytes})
	}
	return r, err
}

// Choose returns the arm of each row, until it is called again.
func (r *RequestArms) Choose(ctx context.Context, rows events.Events) ([]int, error) {
	r.arms = r.arms[:0]
	start := 0
	for _, end := range rows.Ends {
		r.arms = append(r.arms, r.salt.Bytes(rows.Values[start:end]).Arm(r.percent))
		start = end
	}
	return r.byColumn(rows.Offsets, func() (arrow.Record, []events.Reject, error) { return r.decoder.Decode(ctx, rows) })
}

// unchosen is what ChooseRows begins with.
const unchosen = -1

// ChooseRows is Choose of rows that are a record of Arrow, as event.Decoder.DecodeRows reads
// them. A row has no bytes: that has no value of the column goes by those it has.
func (r *RequestArms) ChooseRows(rows arrow.Record, offsets []int64) ([]int, error) {
	r.arms = r.arms[:0]
	for range rows.NumRows() {
		r.arms = append(r.arms, unchosen)
	}
	if _, err := r.byColumn(offsets, func() (arrow.Record, []events.Reject, error) { return r.decoder.DecodeRows(rows, offsets) }); err != nil {
		return nil, err
	}
	for i, arm := range r.arms {
		if arm != unchosen {
			continue
		}
		h := r.salt
		for _, c := range rows.Columns() {
			h = hashOf(h, c, i)
		}
		r.arms[i] = h.Arm(r.percent)
	}
	return r.arms, nil
}

// hashOf adds a value of any type to a hash.
func hashOf(h rollout.Hash, c arrow.Array, row int) rollout.Hash {
	if c.DataType().ID() == arrow.NULL || c.IsNull(row) {
		return h.Number(0)
	}
	switch c := c.(type) {
	case *array.Dictionary:
		return hashOf(h, c.Dictionary(), c.GetValueIndex(row))
	case *array.String:
		return h.Text(c.Value(row))
	case *array.LargeString:
		return h.Text(c.Value(row))
	case *array.Boolean:
		if c.Value(row) {
			return h.Number(1)
		}
		return h.Number(2)
	case array.ListLike:
		from, to := c.ValueOffsets(row)
		for i := from; i < to; i++ {
			h = hashOf(h, c.ListValues(), int(i))
		}
		return h.Number(uint64(to - from))
	}
	if t, ok := c.DataType().(arrow.FixedWidthDataType); ok && t.BitWidth()%8 == 0 && len(c.Data().Buffers()) == 2 {
		width := t.BitWidth() / 8
		return h.Bytes(c.Data().Buffers()[1].Bytes()[(c.Data().Offset()+row)*width:][:width])
	}
	return h
}

// byColumn decides anew about the rows that have a value in the column.
func (r *RequestArms) byColumn(offsets []int64, decode func() (arrow.Record, []events.Reject, error)) ([]int, error) {
	if r.decoder == nil {
		return r.arms, nil
	}
	rec, _, err := decode()
	if err != nil {
		return nil, err
	}
	defer rec.Release()
	at := 0
	byValue(r.salt, rec, func(row int, h rollout.Hash) {
		for offsets[at] != rowOf(rec, row) {
			at++
		}
		r.arms[at] = h.Arm(r.percent)
	})
	return r.arms, nil
}

// middleOf returns which output of a model is its score: of several levels the middle one; -1
// where it is the number of the likeliest class.
func middleOf(a *artifact.Artifact) int {
	answer := a.Answer()
	if answer.Type == model.Category {
		return -1
	}
	return answer.Middle()
}

// scoresOf returns the score of each row of predictions, as middleOf says.
func scoresOf(predictions []float32, rows, outputs, middle int) []float64 {
	if rows == 0 {
		return nil
	}
	stride := len(predictions) / rows
	scores := make([]float64, rows)
	for i := range scores {
		row := predictions[i*stride : i*stride+outputs]
		if middle >= 0 {
			scores[i] = float64(row[middle])
			continue
		}
		best := 0
		for k, p := range row {
			if p > row[best] {
				best = k
			}
		}
		scores[i] = float64(best)
	}
	return scores
}
