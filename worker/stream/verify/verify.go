// Package verify compares what a stream has written with the same events scored again, all at
// once as a batch is, and gathers these as rows for the version's other forms.
package verify

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/onnx"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Sources are where the rows of a stream and their events are, and its versions.
type Sources struct {
	Events connectors.Source
	Live   storage.Place
	Models *engine.Registry
}

// Request says which rows to compare: of each log the newest ones, so many in all.
type Request struct {
	Logs []commitlog.Config
	Rows int
}

const (
	// maxSlots bounds how far back a log is read.
	maxSlots = 1000
	// maxFetchBytes is how much a fetch asks for.
	maxFetchBytes = 4 << 20
	// fetchTries bounds how often a topic is asked for events of a slot without an answer.
	fetchTries = 20
)

// Report says how far apart two scorings of the same rows are.
type Report struct {
	Model   string               `json:"model"`
	Version thalweg.ModelVersion `json:"version"`
	// Rows were compared. Gone are rows whose events the topic does not have any more.
	Rows int `json:"rows"`
	Gone int `json:"gone,omitempty"`
	// OtherBits counts the rows whose scores are not the same, or of which one scoring has
	// none; First names the first of them, and Largest is the largest difference.
	OtherBits int     `json:"other_bits"`
	Largest   float64 `json:"largest_difference"`
	First     string  `json:"first,omitempty"`
	// Unexported says why the version has no form in ONNX; empty: it has.
	Unexported string `json:"unexported,omitempty"`

	// Export and Sample are the version's form in ONNX and the rows; nil where it has none.
	Export *onnx.Model  `json:"-"`
	Sample *onnx.Sample `json:"-"`
}

// comparison is one under way.
type comparison struct {
	Sources
	Report
	of       *engine.Model // that all rows are of
	artifact *artifact.Artifact
	column   string           // of scored rows that has all outputs of the model
	scorer   *artifact.Scorer // scores events
	again    *artifact.Scorer // scores cleaned rows for the sample
}

// Run compares the newest rows of one version: of those that the logs end in, the newest. It
// fails with NotFound where the logs have none.
func Run(ctx context.Context, from Sources, r Request) (*Report, error) {
	c := &comparison{Sources: from}
	logs := make([]*commitlog.Log, len(r.Logs))
	for i, cfg := range r.Logs {
		var err error
		if logs[i], err = commitlog.New(from.Live.Bucket, cfg); err != nil {
			return nil, err
		}
		last, err := newest(ctx, logs[i])
		if err != nil {
			return nil, err
		}
		if last != nil && (c.of == nil || last.Version > c.of.Version) {
			c.of = last
		}
	}
	if c.of == nil {
		return nil, &thalweg.Error{Op: "verify", Kind: thalweg.NotFound, Subject: from.Live.String(), Hint: "the stream has written no rows yet"}
	}
	if err := c.load(ctx, *c.of); err != nil {
		return nil, err
	}
	for i, log := range logs {
		// What other logs leave is for those that come.
		if err := c.log(ctx, log, (r.Rows-c.Rows)/(len(logs)-i)); err != nil {
			return nil, err
		}
	}
	return &c.Report, nil
}

// newest returns the version that a log ends in; nil where no slot is scored.
func newest(ctx context.Context, log *commitlog.Log) (*engine.Model, error) {
	slots := 0
	for e, err := range log.ReadBack(ctx) {
		if err != nil {
			return nil, err
		}
		if e.Intent.Action == commitlog.Score {
			return championOf(&e.Intent), nil
		}
		if slots++; slots == maxSlots {
			break
		}
	}
	return nil, nil
}

// championOf returns the version that an intent pins, alone: of a rollout its rows are compared,
// and those of the candidate are not.
func championOf(in *commitlog.Intent) *engine.Model {
	of := engine.ModelOf(in).Arms()[rollout.Champion]
	return &of
}

// log compares the newest rows of the version in a log.
func (c *comparison) log(ctx context.Context, log *commitlog.Log, rows int) error {
	left, slots, begun := rows, 0, false
	for e, err := range log.ReadBack(ctx) {
		if err != nil {
			return err
		}
		if slots++; slots > maxSlots || left <= 0 {
			return nil
		}
		if e.Intent.Action != commitlog.Score {
			continue
		}
		if *championOf(&e.Intent) != *c.of {
			if begun {
				return nil // those before are of another version
			}
			continue
		}
		begun = true
		before := c.Rows
		if err := c.slot(ctx, log, e, left); err != nil {
			return err
		}
		left -= c.Rows - before
	}
	return nil
}

// load gets a version and its form in ONNX.
func (c *comparison) load(ctx context.Context, of engine.Model) (err error) {
	c.Model, c.Version = string(of.Name), of.Version
	if c.artifact, err = c.Models.Load(ctx, of); err != nil {
		return err
	}
	c.column = engine.ScoreColumn(c.artifact.Answer().Type)
	if c.scorer, err = c.artifact.NewScorer(pipeline.InScoring); err != nil {
		return err
	}
	if c.again, err = c.artifact.NewScorer(pipeline.InScoring); err != nil {
		return err
	}
	if c.Export, err = onnx.Export(c.artifact); thalweg.Is(err, thalweg.Unsupported) {
		c.Unexported = err.Error()
		return nil
	}
	return err
}

// slot compares the rows of a slot, so many at most.
func (c *comparison) slot(ctx context.Context, log *commitlog.Log, e commitlog.Entry, most int) error {
	stored, err := c.stored(ctx, log, e)
	if err != nil || len(stored) == 0 {
		return err
	}
	events, err := c.events(ctx, &e.Intent, most)
	if thalweg.Is(err, thalweg.Lost) {
		c.Gone += len(stored)
		return nil
	}
	if err != nil || events.Len() == 0 {
		return err
	}
	rows, err := engine.Decode(ctx, c.artifact, e.Intent.Partition, events)
	if err != nil {
		return err
	}
	defer rows.Release()
	cleaned, predictions, err := c.scorer.Score(ctx, rows, nil)
	if err != nil {
		return err
	}
	defer cleaned.Release()
	width, each := c.artifact.Model.Outputs(), len(predictions)/max(1, int(cleaned.NumRows())) // behind the outputs is what samples say
	seen := map[int64]bool{}
	for i, offset := range table.Rows(cleaned) {
		if seen[offset] = true; stored[offset] == nil && e.Intent.Rollout.Candidate != 0 && !e.Intent.Rollout.Shadow {
			continue // the candidate's
		}
		c.Rows++
		c.compare(&e.Intent, offset, stored[offset], predictions[i*each:i*each+width])
	}
	last := events.Offsets[events.Len()-1]
	for offset, scores := range stored {
		if offset <= last && !seen[offset] {
			c.Rows++
			c.compare(&e.Intent, offset, scores, nil)
		}
	}
	if c.Export == nil || cleaned.NumRows() == 0 {
		return nil
	}
	sample, err := c.Export.Sample(c.artifact, c.again, cleaned)
	if err != nil {
		return err
	}
	if c.Report.Sample == nil {
		c.Report.Sample = sample
	} else {
		c.Report.Sample.Append(sample)
	}
	return nil
}

// compare notes how far apart two scorings of an event are.
func (c *comparison) compare(in *commitlog.Intent, offset int64, stored []float64, again []float32) {
	same := len(stored) == len(again)
	for k := range min(len(stored), len(again)) {
		d := math.Abs(stored[k] - float64(again[k]))
		c.Largest = max(c.Largest, d)
		same = same && d == 0
	}
	if same {
		return
	}
	if c.OtherBits++; c.First == "" {
		c.First = fmt.Sprintf("%s/%d offset %d: %v, scored again %v", in.Topic, in.Partition, offset, stored, again)
	}
}

// stored returns the scores that a slot has written, by offset.
func (c *comparison) stored(ctx context.Context, log *commitlog.Log, e commitlog.Entry) (map[int64][]float64, error) {
	out := map[int64][]float64{}
	err := c.read(ctx, &e, e.Done.Objects, out)
	if thalweg.Is(err, thalweg.NotFound) { // compacted
		moved, ok, movedErr := log.Moved(ctx, e.Intent.Seq)
		if movedErr != nil {
			return nil, movedErr
		}
		if ok {
			clear(out)
			err = c.read(ctx, &e, moved.Done.Objects, out)
		}
	}
	return out, err
}

// read adds the scores that objects have of a slot's offsets.
func (c *comparison) read(ctx context.Context, e *commitlog.Entry, objects []commitlog.Object, out map[int64][]float64) error {
	for _, o := range objects {
		if o.Kind != commitlog.Scored {
			continue
		}
		body, err := commitlog.ReadObject(ctx, c.Live.Bucket, o)
		if err != nil {
			return err
		}
		for batch, err := range engine.ReadRows(o.Key, body) {
			if err != nil {
				return err
			}
			if err := c.scores(batch.Rows, &e.Intent, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// scores adds the scores of rows.
func (c *comparison) scores(rows arrow.Record, in *commitlog.Intent, out map[int64][]float64) error {
	var offsets *array.Int64
	for _, i := range rows.Schema().FieldIndices("_offset") {
		offsets, _ = rows.Column(i).(*array.Int64)
	}
	if offsets == nil {
		return fmt.Errorf("scored rows have no offsets")
	}
	var versions *array.Int64
	for _, i := range rows.Schema().FieldIndices("_model_version") {
		versions, _ = rows.Column(i).(*array.Int64)
	}
	if versions == nil && in.Rollout.Candidate != 0 {
		return fmt.Errorf("scored rows have no versions")
	}
	scores, err := engine.ScoresOf(rows, c.column)
	if err != nil {
		return err
	}
	for i, offset := range offsets.Int64Values() {
		if offset >= in.From && offset < in.To && (in.Rollout.Candidate == 0 || versions.Value(i) == int64(c.of.Version)) {
			out[offset] = slices.Clone(scores.Of(i))
		}
	}
	return nil
}

// events fetches the first events of a slot, so many at most.
func (c *comparison) events(ctx context.Context, in *commitlog.Intent, most int) (*connectors.Records, error) {
	needs := engine.FieldsOf(c.artifact)
	out := &connectors.Records{Want: needs, Next: in.From, End: -1, TopicID: in.TopicID}
	batch := &connectors.Records{Want: needs, TopicID: in.TopicID}
	for tries := 0; out.Next < in.To && out.Len() < most && tries < fetchTries; tries++ {
		if err := c.Events.Fetch(ctx, in.Partition, out.Next, 5*time.Second, maxFetchBytes, batch); err != nil {
			return nil, err
		}
		n := 0
		for n < batch.Len() && batch.Offsets[n] < in.To && out.Len()+n < most {
			n++
		}
		for i := range n {
			if why, bad := batch.Unreadable[i]; bad {
				if out.Unreadable == nil {
					out.Unreadable = map[int]string{}
				}
				out.Unreadable[out.Len()+i] = why
			}
		}
		if n > 0 {
			tries = 0
			out.AppendRecords(batch, 0, n)
			out.Next = batch.Offsets[n-1] + 1
		}
		if n == batch.Len() {
			out.Next = max(out.Next, batch.Next)
		}
	}
	return out, nil
}
