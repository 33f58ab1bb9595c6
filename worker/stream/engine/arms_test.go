package engine

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/rollout"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
)

// both are the Models of a champion, version 1, and a candidate, version 2.
type both [rollout.Arms]*artifact.Artifact

func (both) Candidates() ([]Candidate, <-chan struct{}) { return nil, nil }

func (m both) Load(_ context.Context, of Model) (*artifact.Artifact, error) {
	return m[of.Version-1], nil
}

func pinOf(percent uint32, by string, shadow bool) Model {
	ref := thalweg.CheckpointRef{Key: "checkpoints/1", SHA256: strings.Repeat("c", 64)}
	return Model{Name: "m", Version: 1, Checkpoint: ref, Rollout: commitlog.Rollout{Candidate: 2, Checkpoint: ref, Percent: percent, Salt: "s", By: by, Shadow: shadow}}
}

// keyed lays out events from offset 0 on, some of which have a key, with gaps.
func keyed(events []string) *connectors.Records {
	r := &connectors.Records{Want: connectors.Keys}
	for i, e := range events {
		var key []byte
		if i%3 > 0 {
			key = fmt.Appendf(nil, "k%d", i%11)
		}
		r.Append(int64(i+i/7), int64(i), key, []byte(e))
	}
	return r
}

// batchFrom returns a batch of some records.
func batchFrom(r *connectors.Records, lo, hi int) *Batch {
	to := r.Offsets[hi-1] + 1
	from := int64(0)
	if lo > 0 {
		from = r.Offsets[lo-1] + 1
	}
	b := &Batch{From: from, To: to, Records: r, first: lo, n: hi - lo}
	for i := lo; i < hi; i++ {
		if before := from; r.Offsets[i] > before {
			b.Gaps = append(b.Gaps, commitlog.Gap{before, r.Offsets[i]})
		}
		from = r.Offsets[i] + 1
	}
	return b
}

// scoreAll scores records in batches of random sizes and returns the rows by offset, as text,
// of all files, and the dead letters.
func scoreAll(t *testing.T, e Engine, m Model, r *connectors.Records, partitionBy string, rng *rand.Rand) (rows map[int64]map[string]string, letters []DeadLetter, sent *Outgoing) {
	t.Helper()
	dst := &Rows{Topic: "flights", Generation: 1, Model: m, Engine: e, PartitionBy: partitionBy}
	defer dst.Release()
	sent = new(Outgoing)
	for lo := 0; lo < r.Len(); {
		hi := min(r.Len(), lo+1+rng.IntN(40))
		b := batchFrom(r, lo, hi)
		dst.Send = &Outgoing{ScoredAt: 5}
		if err := e.Score(t.Context(), b, dst); err != nil {
			t.Fatal(err)
		}
		sent.Append(dst.Send)
		lo += b.Len()
	}
	in := commitlog.Intent{Topic: "flights", Model: m.Name, ModelVersion: m.Version, SpecGeneration: 1, ScoredAtUS: 5, PartitionBy: partitionBy, Rollout: m.Rollout}
	files, err := e.Encode(in, dst)
	if err != nil {
		t.Fatal(err)
	}
	rows = make(map[int64]map[string]string)
	n := int64(0)
	for _, f := range files {
		last := int64(-1)
		for rec, err := range Records("rows", f.Body, nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			at := rec.Column(rec.Schema().FieldIndices(offsetColumn)[0]).(*array.Int64)
			for i := range int(rec.NumRows()) {
				if at.Value(i) <= last {
					t.Fatalf("offset %d after %d", at.Value(i), last)
				}
				last = at.Value(i)
				rows[last] = textOf(rec, i)
				n++
			}
		}
	}
	if n != dst.Scored || int64(len(rows)) != n {
		t.Fatalf("%d rows of %d offsets, %d were scored", n, len(rows), dst.Scored)
	}
	if letters, err = ParseLetters(dst.dead.Bytes()); err != nil || int64(len(letters)) != dst.Rejected {
		t.Fatalf("%d dead letters of %d: %v", len(letters), dst.Rejected, err)
	}
	if !slices.IsSortedFunc(letters, func(a, b DeadLetter) int { return int(a.Offset - b.Offset) }) || !slices.IsSorted(sent.Offsets) || int64(len(sent.Offsets)) != n {
		t.Errorf("dead letters or %d sent rows of %d are not in order", len(sent.Offsets), n)
	}
	return rows, letters, sent
}

func textOf(rec arrow.Record, i int) map[string]string {
	out := make(map[string]string)
	for k, c := range rec.Columns() {
		out[rec.ColumnName(k)] = c.ValueStr(i)
	}
	return out
}

// TestRowsOfARolloutAreThoseOfEachVersionAlone: whoever scores an event, its row is that which
// the version makes of it alone, to the bit, and which one that is follows from the event.
func TestRowsOfARolloutAreThoseOfEachVersionAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var events []string
	for i := range 700 {
		switch e := flight(rng.IntN(10_000)); i % 23 {
		case 5:
			events = append(events, strings.Replace(e, `"distance":`, `"distance":"x`, 1))
		case 9:
			events = append(events, "no JSON")
		default:
			events = append(events, e)
		}
	}
	records := keyed(events)
	models := both{artifacttest.TrainFlights(t, artifacttest.Flights, 1), artifacttest.TrainFlights(t, artifacttest.Flights, 2)}
	cfg := Config{Compression: "zstd", MaxEventBytes: 1 << 20}
	var alone [rollout.Arms]map[int64]map[string]string
	var dead [rollout.Arms][]DeadLetter
	var messages [rollout.Arms]map[int64]string
	for k, of := range pinOf(50, "", false).Arms() {
		e, err := New(of, models[k], cfg)
		if err != nil {
			t.Fatal(err)
		}
		var sent *Outgoing
		alone[k], dead[k], sent = scoreAll(t, e, of, records, "", rng)
		messages[k] = sentBy(sent)
	}
	for _, c := range []struct {
		percent     uint32
		by          string
		shadow      bool
		partitionBy string
	}{{50, "", false, ""}, {5, "origin", false, ""}, {30, "origin", false, "date"}, {50, "distance", true, ""}, {100, "", true, "date"}, {100, "", false, ""}} {
		m := pinOf(c.percent, c.by, c.shadow)
		var tallies Tallies
		cfg.Tally = tallies.Of
		e, err := Open(t.Context(), models, m, cfg)
		if err != nil {
			t.Fatal(err)
		}
		rows, letters, sent := scoreAll(t, e, m, records, c.partitionBy, rng)
		again, _, _ := scoreAll(t, e, m, records, c.partitionBy, rng)
		if len(rows)+len(letters) != records.Len() || len(again) != len(rows) {
			t.Errorf("%+v: %d rows and %d dead letters of %d events", c, len(rows), len(letters), records.Len())
		}
		out := sentBy(sent)
		candidates, beside := 0, 0
		armOf := map[string]string{}
		for offset, row := range rows {
			k := rollout.Champion
			if row["_model_version"] == "2" {
				k, candidates = rollout.Candidate, candidates+1
			}
			if again[offset]["_model_version"] != row["_model_version"] {
				t.Fatalf("%+v: offset %d is once of version %s and once of %s", c, offset, row["_model_version"], again[offset]["_model_version"])
			}
			if c.by != "" && !c.shadow {
				if arm := armOf[row[c.by]]; arm != "" && arm != row["_model_version"] {
					t.Fatalf("%+v: rows of %s are of both versions", c, row[c.by])
				}
				armOf[row[c.by]] = row["_model_version"]
			}
			for name, value := range alone[k][offset] {
				if row[name] != value {
					t.Fatalf("%+v: offset %d has %s %s, of the version alone it is %s", c, offset, name, row[name], value)
				}
			}
			if out[offset] != messages[k][offset] {
				t.Fatalf("%+v: %s was sent, of the version alone %s", c, out[offset], messages[k][offset])
			}
			if row["_shadow_version"] == "2" {
				beside++
				if row["_shadow_probability"] != alone[rollout.Candidate][offset]["probability"] {
					t.Fatalf("offset %d has %s beside it, not %s", offset, row["_shadow_probability"], alone[rollout.Candidate][offset]["probability"])
				}
			}
		}
		for _, l := range letters {
			k := int(l.ModelVersion - 1)
			if i := slices.IndexFunc(dead[k], func(d DeadLetter) bool { return d.Offset == l.Offset }); i < 0 || dead[k][i].Reason != l.Reason || c.shadow && k > 0 {
				t.Errorf("%+v: a dead letter of offset %d is none of version %d", c, l.Offset, l.ModelVersion)
			}
		}
		arms, _ := tallies.Of(m).Counts()
		total := arms[rollout.Champion].Events + arms[rollout.Candidate].Events
		if c.shadow {
			total = arms[rollout.Champion].Events
		}
		if total != int64(2*records.Len()) || c.percent == 50 && (candidates+beside < 200 || candidates+beside > 500) || c.percent == 100 && candidates+beside != len(rows) || c.shadow && candidates > 0 {
			t.Errorf("%+v: %d rows of the candidate, %d beside, %d counted", c, candidates, beside, total)
		}
	}
}

// sentBy returns messages by offset, without what names the version.
func sentBy(sent *Outgoing) map[int64]string {
	out := make(map[int64]string)
	for i, m := range sent.Messages {
		out[sent.Offsets[i]] = string(m.Key) + " " + string(m.Value)
	}
	return out
}

// TestVersionsWithOtherColumnsShareAFile: what only one has is null in rows of the other.
func TestVersionsWithOtherColumnsShareAFile(t *testing.T) {
	less := strings.Replace(artifacttest.Flights, "    source: events\n", "    source: events\n    output_columns: {exclude: [distance]}\n", 1)
	models := both{artifacttest.TrainFlights(t, artifacttest.Flights, 1), artifacttest.TrainFlights(t, less, 2)}
	e, err := Open(t.Context(), models, pinOf(50, "", false), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for i := range 100 {
		events = append(events, flight(i))
	}
	rows, _, _ := scoreAll(t, e, pinOf(50, "", false), keyed(events), "", rand.New(rand.NewPCG(1, 2)))
	for offset, row := range rows {
		if has := row["distance"] != "(null)"; has != (row["_model_version"] == "1") {
			t.Errorf("offset %d of version %s has distance %s", offset, row["_model_version"], row["distance"])
		}
	}
}

// TestABatchThatIsCutIsCutForBoth: where a version cannot take all of a batch, both go on from
// the same offset.
func TestABatchThatIsCutIsCutForBoth(t *testing.T) {
	models := both{artifacttest.TrainFlights(t, artifacttest.Flights, 1), artifacttest.TrainFlights(t, artifacttest.Flights, 2)}
	e, err := Open(t.Context(), models, pinOf(50, "", false), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for i := range 300 {
		events = append(events, fmt.Sprintf(`{"date":"20%02d-%02d-01 00:00:00","delay":1,"distance":%d,"origin":"a"}`, i/12, 1+i%12, i))
	}
	r := keyed(events)
	dst := &Rows{Topic: "flights", Generation: 1, Model: pinOf(50, "", false), Engine: e, PartitionBy: "date"}
	defer dst.Release()
	b := batchFrom(r, 0, r.Len())
	if err := e.Score(t.Context(), b, dst); err != nil {
		t.Fatal(err)
	}
	if !dst.Full || dst.Scored != MaxDays || dst.To != r.Offsets[MaxDays] || b.To != dst.To {
		t.Errorf("full %v: %d rows up to %d", dst.Full, dst.Scored, dst.To)
	}
	files, err := e.Encode(commitlog.Intent{Topic: "flights", ModelVersion: 1, SpecGeneration: 1, ScoredAtUS: 5, PartitionBy: "date", Rollout: pinOf(50, "", false).Rollout}, dst)
	if err != nil || len(files) != MaxDays {
		t.Errorf("%d files: %v", len(files), err)
	}
	var twice [2][]File
	for i := range twice {
		if twice[i], err = e.Encode(commitlog.Intent{Topic: "flights", ModelVersion: 1, SpecGeneration: 1, ScoredAtUS: 5, Rollout: pinOf(50, "", false).Rollout}, dst); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(twice[0][0].Body, twice[1][0].Body) {
		t.Error("the same rows make other bytes")
	}
}

// TestAClaimCanBeCarriedOutHoweverItIsCut: events on which the code fails become dead letters
// again, though a batch may have no others by then.
func TestAClaimCanBeCarriedOutHoweverItIsCut(t *testing.T) {
	models := both{artifacttest.TrainFlights(t, artifacttest.Flights, 1), artifacttest.TrainFlights(t, artifacttest.Flights, 2)}
	e, err := Open(t.Context(), models, pinOf(50, "", false), Config{Compression: "zstd", MaxEventBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	candidate := e.(*armsEngine).arms[rollout.Candidate].artifactEngine
	candidate.scorer = moody{predictor: candidate.scorer, fails: func(o int64) bool { return o < 20 }}
	var events []string
	for i := range 100 {
		events = append(events, flight(i))
	}
	r := keyed(events)
	var dead []string
	for _, size := range []int{100, 7} {
		dst := &Rows{Topic: "flights", Model: pinOf(50, "", false), Engine: e, Settled: size < 100}
		for lo := 0; lo < r.Len(); lo += size {
			if err := e.Score(t.Context(), batchFrom(r, lo, min(lo+size, r.Len())), dst); err != nil {
				t.Fatal(err)
			}
		}
		dead = append(dead, dst.dead.String())
		if dst.Rejected < 2 || dst.OfCandidate.Dead != dst.Rejected || dst.OfCandidate.Events < 20 {
			t.Errorf("%d dead letters, of the candidate %+v", dst.Rejected, dst.OfCandidate)
		}
		dst.Release()
	}
	if dead[0] != dead[1] {
		t.Errorf("dead letters are\n%s\nand of other batches\n%s", dead[0], dead[1])
	}
	dst := &Rows{Topic: "flights", Model: pinOf(50, "", false), Engine: e}
	if err := e.Score(t.Context(), batchFrom(r, 0, 15), dst); !IsOf(err, rollout.Candidate) || dst.Rejected > 0 {
		t.Errorf("of nothing claimed: %v, %d dead letters", err, dst.Rejected)
	}
}
