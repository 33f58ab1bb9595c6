package fsck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/thalweg/thalweg"
)

// maxObjectBytes bounds one object read whole; rolling keeps files far below.
const maxObjectBytes = 4 << 30

// rowCounts are the rows found in a slot's objects, the offsets in its gaps, the
// distinct offsets of all, and those that it gives up.
type rowCounts struct{ scored, dead, absent, offsets, lost int64 }

// offsets remembers which offsets of a range have been seen.
type offsets struct {
	from, to int64
	seen     []uint64
	distinct int64
}

func newOffsets(in intentRecord) *offsets {
	return &offsets{from: in.From, to: in.To, seen: make([]uint64, (in.To-in.From+63)/64)}
}

// add returns what is wrong with an offset, or "".
func (o *offsets) add(offset int64) string {
	if offset < o.from || offset >= o.to {
		return fmt.Sprintf("offset %d is outside of [%d, %d)", offset, o.from, o.to)
	}
	at := offset - o.from
	if o.seen[at/64]&(1<<(at%64)) != 0 {
		return fmt.Sprintf("offset %d appears twice", offset)
	}
	o.seen[at/64] |= 1 << (at % 64)
	o.distinct++
	return ""
}

// has reports whether an offset has been seen.
func (o *offsets) has(offset int64) bool {
	at := offset - o.from
	return offset >= o.from && offset < o.to && o.seen[at/64]&(1<<(at%64)) != 0
}

// seenFrom returns how many offsets from one on have been seen.
func (o *offsets) seenFrom(offset int64) (n int64) {
	for at := max(offset, o.from); at < o.to; at++ {
		if o.has(at) {
			n++
		}
	}
	return n
}

// rows reads every object of a done record, and removes them from what was
// listed.
func (j *judge) rows(ctx context.Context, o *objects, in intentRecord, d doneRecord, w *walk) (rowCounts, error) {
	var found rowCounts
	slot := &w.slots[in.Seq]
	if in.To-in.From > maxObjectBytes {
		j.verdict.violate(3, in.ID, "a range of %d offsets is no range", in.To-in.From)
		return found, nil
	}
	seen := newOffsets(in)
	moved, err := j.objects(ctx, o, in, d, w, &found, seen.add, func(offset int64) string {
		slot.dead = append(slot.dead, offset)
		return seen.add(offset)
	})
	if err != nil {
		return found, err
	}
	slices.Sort(slot.dead)
	for _, gap := range d.Gaps {
		where := fmt.Sprintf("slot %d, gap [%d, %d)", in.Seq, gap[0], gap[1])
		if gap[0] < in.From || gap[1] > in.To || gap[0] >= gap[1] {
			j.verdict.violate(5, where, "is empty, or outside of [%d, %d)", in.From, in.To)
			continue
		}
		for at := gap[0]; at < gap[1]; at++ {
			if why := seen.add(at); why != "" {
				j.verdict.violate(5, where, "%s", why)
				break
			}
			found.absent++
		}
	}
	found.offsets = seen.distinct + moved
	found.scored += moved
	if d.Lost != [2]int64{} {
		slot.lost, slot.seen = d.Lost, seen
		found.lost = j.lost(in, d, found, seen, moved)
	}
	return found, nil
}

// objects reads every object of a done record, and counts the rows and dead
// letters in them and the rows of those that are not there. scored and dead return
// what is wrong with an offset, or "".
func (j *judge) objects(ctx context.Context, o *objects, in intentRecord, d doneRecord, w *walk, found *rowCounts, scored, dead func(offset int64) string) (moved int64, err error) {
	for _, obj := range d.Objects {
		body, ok, err := j.named(ctx, o, in, obj, w)
		if err != nil {
			return 0, err
		}
		if !ok {
			if slices.Contains(w.absent[in.Seq], obj) {
				moved += obj.Rows
			}
			continue
		}
		var rows int64
		if obj.Kind == "dead" {
			rows = j.deadLetters(obj.Key, body, in, dead)
			found.dead += rows
		} else {
			rows = j.scoredRows(obj.Key, body, in, scored)
			found.scored += rows
		}
		if rows != obj.Rows {
			j.verdict.violate(4, obj.Key, "has %d rows, its record says %d", rows, obj.Rows)
		}
	}
	return moved, nil
}

// lost returns how many offsets a slot gives up, of which the topic had lost the
// beginning: those of it that no object has. Of what comes after it, every offset
// must be there; where rows were moved that is judged with the compaction.
func (j *judge) lost(in intentRecord, d doneRecord, found rowCounts, seen *offsets, moved int64) int64 {
	where := fmt.Sprintf("slot %d, lost [%d, %d)", in.Seq, d.Lost[0], d.Lost[1])
	if d.Lost[0] != in.From || d.Lost[1] <= in.From || d.Lost[1] > in.To {
		j.verdict.violate(5, where, "is no beginning of [%d, %d)", in.From, in.To)
		return 0
	}
	for _, gap := range d.Gaps {
		if gap[0] < d.Lost[1] {
			j.verdict.violate(5, where, "has the gap [%d, %d): nothing is left to read there, so it cannot be known", gap[0], gap[1])
		}
	}
	if kept := in.To - d.Lost[1]; moved == 0 && seen.seenFrom(d.Lost[1])+d.Dropped != kept {
		j.verdict.violate(5, where, "of the %d offsets after it, rows and gaps account for %d", kept, seen.seenFrom(d.Lost[1]))
	}
	n := in.To - in.From - found.offsets - d.Dropped
	if n < 0 || n > d.Lost[1]-d.Lost[0] {
		j.verdict.violate(5, where, "%d offsets of the slot are in no object", n)
	}
	return max(0, n)
}

// named reads an object that a done record names, and removes it from what was
// listed. Scored objects that are not there are remembered: a compaction must
// have replaced them.
func (j *judge) named(ctx context.Context, o *objects, in intentRecord, obj objectRecord, w *walk) (body []byte, ok bool, err error) {
	listed, dir := o.data, "data/"
	if obj.Kind == "dead" {
		listed, dir = o.dead, "_dead/"
	}
	if !strings.HasPrefix(obj.Key, j.prefix+dir) || !strings.Contains(obj.Key, objectStem(in)) {
		j.verdict.violate(4, obj.Key, "does not have the name that follows from its intent")
	}
	delete(listed, obj.Key)
	if obj.Kind == "scored" {
		w.slots[in.Seq].objects = append(w.slots[in.Seq].objects, obj)
	}
	body, ok, err = j.object(ctx, obj)
	if err == nil && body != nil && !ok && obj.Kind == "scored" && in.Action == actionScore {
		// It may have been replaced and deleted, and written again by a late request of
		// an owner that had more of the claim, or less: see checkLost.
		w.late[in.Seq] = append(w.late[in.Seq], lateObject{obj, body})
		body = nil
	} else if err == nil && body != nil && !ok {
		j.verdict.violate(4, obj.Key, "its bytes are not those of its record")
	}
	switch {
	case err != nil:
		return nil, false, err
	case body == nil && obj.Kind == "scored":
		w.absent[in.Seq] = append(w.absent[in.Seq], obj)
	case body == nil:
		j.verdict.violate(4, obj.Key, "is named by a done record but not there")
	case obj.Kind == "scored":
		w.kept[in.Seq]++
	}
	return body, ok, nil
}

// object reads an object and compares it with its record. Its body is nil if it
// is not there; ok is true if it has the bytes that it should have.
func (j *judge) object(ctx context.Context, obj objectRecord) ([]byte, bool, error) {
	body, _, err := j.bucket.Get(ctx, obj.Key)
	if thalweg.Is(err, thalweg.NotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	j.verdict.Files++
	j.verdict.Bytes += int64(len(body))
	sum := sha256.Sum256(body)
	return body, int64(len(body)) == obj.Size && hex.EncodeToString(sum[:]) == obj.SHA256, nil
}

// deadLetter is what fsck needs of one line.
type deadLetter struct {
	Topic        string `json:"topic"`
	Partition    int    `json:"partition"`
	Offset       *int64 `json:"offset"`
	Reason       string `json:"reason"`
	Model        string `json:"model"`
	ModelVersion uint64 `json:"model_version"`
	Generation   uint64 `json:"spec_generation"`
}

// deadLetters judges the lines of a dead-letter object.
func (j *judge) deadLetters(key string, body []byte, in intentRecord, tick func(offset int64) (why string)) (rows int64) {
	for line := range bytes.Lines(body) {
		rows++
		where := fmt.Sprintf("%s line %d", key, rows)
		var l deadLetter
		if err := json.Unmarshal(line, &l); err != nil || l.Offset == nil {
			j.verdict.violate(5, where, "is no dead letter")
			continue
		}
		if why := tick(*l.Offset); why != "" {
			j.verdict.violate(5, where, "%s", why)
		}
		if l.Topic != in.Topic || l.Partition != in.Partition || l.Reason == "" {
			j.verdict.violate(6, where, "names topic %s partition %d and reason %q", l.Topic, l.Partition, l.Reason)
		}
		if l.Model != in.Model || !in.scores(l.ModelVersion) || l.Generation != in.Generation {
			j.verdict.violate(6, where, "names model %s version %d and generation %d, its intent %s, %d and %d", l.Model, l.ModelVersion, l.Generation, in.Model, in.ModelVersion, in.Generation)
		}
	}
	return rows
}

// scoredRows judges the rows of a Parquet object.
func (j *judge) scoredRows(key string, body []byte, in intentRecord, tick func(offset int64) (why string)) (rows int64) {
	f, err := readParquet(body)
	if err != nil {
		j.verdict.violate(4, key, "cannot be read as Parquet: %v", err)
		return 0
	}
	leaf, why := f.column("_offset")
	if why == "" && (!isNumber(leaf) || leaf.Type().Kind() != parquet.Int64) {
		why = "_offset is no int64"
	}
	if why != "" {
		j.verdict.violate(6, key, "%s", why)
		return f.rows
	}
	_ = f.each(leaf, func(row int64, v parquet.Value) bool { // was read before
		if v.IsNull() {
			j.verdict.violate(5, key, "row %d has no offset", row)
		} else if why := tick(v.Int64()); why != "" {
			j.verdict.violate(5, key, "%s", why)
		}
		return true
	})
	j.provenance(f, key, []stretch{{0, f.rows, in}})
	j.day(f, key, in)
	if in.Rollout.Candidate != 0 { // the record's count is of both
		n := int64(0)
		for _, version := range versionsOf(f) {
			if version == in.Rollout.Candidate {
				n++
			}
		}
		j.verdict.RowsByModel[fmt.Sprintf("%s %d", in.Model, in.ModelVersion)] -= n
		j.verdict.RowsByModel[fmt.Sprintf("%s %d", in.Model, in.Rollout.Candidate)] += n
	}
	return f.rows
}

// stretch are the rows [from, to) of a file, which one slot scored.
type stretch struct {
	from, to int64
	in       intentRecord
}

// provenance checks that rows say of themselves what their intents do, and that
// all rows of a model version, in whatever object, name one fitted transform.
func (j *judge) provenance(f *parquetFile, key string, stretches []stretch) {
	stretches = j.byVersion(f, key, stretches)
	for _, c := range []struct {
		name string
		want func(in intentRecord) string
	}{
		{"_topic", func(in intentRecord) string { return in.Topic }},
		{"_partition", func(in intentRecord) string { return fmt.Sprint(in.Partition) }},
		{"_model_version", func(in intentRecord) string { return fmt.Sprint(in.ModelVersion) }},
		{"_spec_generation", func(in intentRecord) string { return fmt.Sprint(in.Generation) }},
		{"_scored_at", func(in intentRecord) string { return fmt.Sprint(in.ScoredAtUS) }},
		{"_transform_hash", nil},
	} {
		leaf, why := f.column(c.name)
		if why != "" {
			j.verdict.violate(6, key, "%s", why)
			continue
		}
		if _, ok := equals(leaf, ""); !ok {
			j.verdict.violate(6, key, "column %s has the type %s", c.name, leaf.Type())
			continue
		}
		j.constant(f, leaf, key, stretches, func(in intentRecord, first parquet.Value) string {
			if c.want != nil {
				return c.want(in)
			}
			version := modelVersion{in.Model, in.ModelVersion}
			if _, known := j.transforms[version]; !known && !first.IsNull() && isText(leaf) {
				j.transforms[version] = string(first.ByteArray())
			}
			return j.transforms[version]
		})
	}
}

// byVersion cuts the stretches of rollouts into those of one version each, and says so in their
// intents.
func (j *judge) byVersion(f *parquetFile, key string, stretches []stretch) (all []stretch) {
	var versions []uint64
	for _, s := range stretches {
		if s.in.Rollout.Candidate == 0 {
			all = append(all, s)
			continue
		}
		if versions == nil {
			versions = versionsOf(f)
		}
		for at := s.from; at < min(s.to, int64(len(versions))); {
			end := at + 1
			for end < s.to && end < int64(len(versions)) && versions[end] == versions[at] {
				end++
			}
			one := stretch{at, end, s.in}
			if s.in.scores(versions[at]) {
				one.in.ModelVersion = versions[at]
			} else {
				j.verdict.violate(6, key, "row %d is of version %d, its intent of %d and %d", at, versions[at], s.in.ModelVersion, s.in.Rollout.Candidate)
			}
			all, at = append(all, one), end
		}
	}
	return all
}

// versionsOf returns the version that each row names; none where the column is none.
func versionsOf(f *parquetFile) (versions []uint64) {
	leaf, why := f.column("_model_version")
	if why != "" || !isNumber(leaf) || leaf.Type().Kind() != parquet.Int64 {
		return nil
	}
	_ = f.each(leaf, func(_ int64, v parquet.Value) bool {
		versions = append(versions, uint64(v.Int64()))
		return true
	})
	return versions
}

// constant checks that the values of a column are what is wanted of their
// stretch, which may depend on the first of them.
func (j *judge) constant(f *parquetFile, leaf *parquet.Column, key string, stretches []stretch, want func(in intentRecord, first parquet.Value) string) {
	var value string
	var same func(v parquet.Value) bool // nil: at no row of stretches[0] yet, or one of them is wrong
	_ = f.each(leaf, func(row int64, v parquet.Value) bool {
		for len(stretches) > 0 && row >= stretches[0].to {
			stretches, same = stretches[1:], nil
		}
		switch {
		case len(stretches) == 0:
			return false
		case row == stretches[0].from:
			value = want(stretches[0].in, v)
			same, _ = equals(leaf, value)
		}
		if same != nil && !same(v) {
			j.verdict.violate(6, key, "column %s of a row is not %s, as its intent says", leaf.Name(), value)
			same = nil
		}
		return true
	})
}
