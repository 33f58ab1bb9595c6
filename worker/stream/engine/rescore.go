package engine

import (
	"context"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	events "github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/storage/dataset"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// Decode returns records of a partition as rows of an artifact's events, whose numbers are
// their offsets, without those that cannot be decoded. The caller releases them.
func Decode(ctx context.Context, a *artifact.Artifact, partition int, r *connectors.Records) (arrow.Record, error) {
	e := &artifactEngine{fields: FieldsOf(a)}
	var err error
	if e.decoder, err = a.NewDecoder(events.Config{MaxEventBytes: DefaultMaxEventBytes}); err != nil {
		return nil, err
	}
	rows, _, err := e.decoder.Decode(ctx, e.events(BatchOf(r, r.Offsets[0], r.Next), partition))
	return rows, err
}

// Rescore does with one record what the execution of an intent does: it
// returns a Parquet file of the row, or the record's dead letter. r holds the
// record alone, with its key.
func Rescore(ctx context.Context, in commitlog.Intent, models Models, r *connectors.Records) (file []byte, letter *DeadLetter, err error) {
	if r.Len() != 1 {
		return nil, nil, &thalweg.Error{Op: "score again", Kind: thalweg.Invalid, Subject: "one record is scored at a time"}
	}
	model := ModelOf(&in)
	e, err := Open(ctx, models, model, Config{Compression: dataset.Zstd, MaxEventBytes: DefaultMaxEventBytes})
	if err != nil {
		return nil, nil, err
	}
	at := r.Offsets[0]
	dst := &Rows{Topic: in.Topic, Partition: in.Partition, Generation: in.SpecGeneration, Model: model, Engine: e, To: at}
	defer dst.Release()
	if err := e.Score(ctx, BatchOf(r, at, at+1), dst); err != nil {
		return nil, nil, err
	}
	if dst.Scored == 0 {
		letters, err := ParseLetters(dst.dead.Bytes())
		if err != nil || len(letters) != 1 {
			return nil, nil, &thalweg.Error{Op: "score again", Subject: in.Topic, Err: err}
		}
		return nil, &letters[0], nil
	}
	files, err := e.Encode(in, dst)
	if err != nil {
		return nil, nil, err
	}
	return files[0].Body, nil, nil // one row is in one file
}
