package commitlog

import (
	"fmt"
	"math"
	"regexp"
	"unicode/utf8"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

var (
	idPattern     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	columnPattern = regexp.MustCompile(`^_?[a-zA-Z][a-zA-Z0-9_]{0,99}$`)
	topicPattern  = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`) // Kafka's own rule
)

// Validate checks everything about the intent that needs no other record. The
// error is of kind Invalid and names the field.
func (in Intent) Validate() error {
	fail := func(field, format string, args ...any) error {
		return &thalweg.Error{Op: "check intent", Kind: thalweg.Invalid, Subject: fmt.Sprintf("slot %d: %s", in.Seq, field),
			Err: fmt.Errorf(format, args...)}
	}
	switch {
	case in.Seq > MaxSeq:
		return fail("seq", "%d is beyond %d", in.Seq, uint64(MaxSeq))
	case !idPattern.MatchString(in.ID):
		return fail("id", "%.40q is not 32 hex digits", in.ID)
	case !validName(string(in.Pipeline)):
		return fail("pipeline", "must have 1 to %d bytes of UTF-8", MaxNameBytes)
	case !validTopic(in.Topic):
		return fail("topic", "%.60q is not a Kafka topic", in.Topic)
	case in.Partition < 0 || in.Partition > MaxPartition:
		return fail("partition", "%d is not in 0..%d", in.Partition, MaxPartition)
	case in.From < 0:
		return fail("from", "%d is negative", in.From)
	case in.SpecGeneration == 0:
		return fail("spec_generation", "must be at least 1")
	case in.ScoredAtUS <= 0:
		return fail("scored_at_us", "%d is not a time after 1970", in.ScoredAtUS)
	case in.Seq == 0 && in.Previous != "":
		return fail("previous", "slot 0 has no previous record")
	case in.Seq > 0 && !hashPattern.MatchString(in.Previous):
		return fail("previous", "%.80q is not a sha256", in.Previous)
	case in.TopicID != "" && !idPattern.MatchString(in.TopicID):
		return fail("topic_id", "%.40q is not 32 hex digits", in.TopicID)
	}
	if in.PartitionBy != "" && !columnPattern.MatchString(in.PartitionBy) {
		return fail("partition_by", "%.60q cannot name directories", in.PartitionBy)
	}
	return in.validateAction(fail)
}

// validateAction checks the fields that depend on the action: each has what it
// needs and nothing that means something to another.
func (in Intent) validateAction(fail func(field, format string, args ...any) error) error {
	switch in.Action {
	case Score, Replay:
		switch {
		case in.To <= in.From:
			return fail("to", "%d is not beyond from, %d", in.To, in.From)
		case !validName(string(in.Model)):
			return fail("model", "must have 1 to %d bytes of UTF-8", MaxNameBytes)
		case in.ModelVersion == 0:
			return fail("model_version", "must be at least 1")
		case storage.ValidateKey(in.Checkpoint.Key) != nil || !hashPattern.MatchString(in.Checkpoint.SHA256):
			return fail("checkpoint", "%.60q is no reference", in.Checkpoint.String())
		}
	case Compact, Skip:
		if in.Model != "" || in.ModelVersion != 0 || in.Checkpoint != (thalweg.CheckpointRef{}) {
			return fail("model", "a slot of action %q scores nothing", in.Action)
		}
	default:
		return fail("action", "%.20q is unknown to this build", string(in.Action))
	}
	switch in.Action {
	case Compact:
		switch {
		case in.To != in.From:
			return fail("to", "%d: a compaction ends where it begins, at %d", in.To, in.From)
		case in.Slots[0] >= in.Slots[1] || in.Slots[1] > in.Seq:
			return fail("slots", "[%d, %d) are not slots before it", in.Slots[0], in.Slots[1])
		}
	case Skip:
		switch {
		case in.Seq == 0:
			return fail("seq", "a log does not begin with a skip")
		case in.Missing[0] != in.From || in.Missing[1] < in.From:
			return fail("missing", "[%d, %d) does not begin at from, %d", in.Missing[0], in.Missing[1], in.From)
		case in.To < 0 || in.TopicID == "" && in.To != in.Missing[1]:
			return fail("to", "%d is not the end of what is missing, %d", in.To, in.Missing[1])
		case in.TopicID == "" && in.To == in.From:
			return fail("to", "%d: nothing is skipped", in.To)
		}
	case Replay:
		switch {
		case in.Slots[0] >= in.Slots[1] || in.Slots[1] > MaxSeq+1:
			return fail("slots", "[%d, %d) are no slots", in.Slots[0], in.Slots[1])
		case len(in.Where) > MaxWhereBytes || !utf8.ValidString(in.Where):
			return fail("where", "must have at most %d bytes of UTF-8", MaxWhereBytes)
		}
	}
	switch {
	case in.Slots != [2]uint64{} && in.Action != Compact && in.Action != Replay:
		return fail("slots", "mean nothing to action %q", string(in.Action))
	case in.Missing != [2]int64{} && in.Action != Skip:
		return fail("missing", "means nothing to action %q", string(in.Action))
	case in.LeaderEpoch < 0 || in.LeaderEpoch > 0 && (in.Action == Skip || in.Action == Replay):
		return fail("leader_epoch", "%d means nothing to action %q", in.LeaderEpoch, string(in.Action))
	case len(in.RowsTopic) > MaxNameBytes || in.RowsTopic != "" && in.Action == Replay:
		return fail("rows_topic", "%.60q is too long, or means nothing to action %q", in.RowsTopic, string(in.Action))
	case in.Where != "" && in.Action != Replay:
		return fail("where", "means nothing to action %q", string(in.Action))
	case in.Rollout != Rollout{} && in.Action != Score:
		return fail("rollout", "means nothing to action %q", string(in.Action))
	case in.Reread && in.Action != Replay:
		return fail("reread", "means nothing to action %q", string(in.Action))
	}
	return in.Rollout.validate(in.ModelVersion, fail)
}

// Validate checks everything about the done record that needs no other record.
// The error is of kind Invalid and names the field.
func (d Done) Validate() error {
	fail := func(field, format string, args ...any) error {
		return &thalweg.Error{Op: "check done record", Kind: thalweg.Invalid, Subject: fmt.Sprintf("slot %d: %s", d.Seq, field),
			Err: fmt.Errorf(format, args...)}
	}
	switch {
	case d.Seq > MaxSeq:
		return fail("seq", "%d is beyond %d", d.Seq, uint64(MaxSeq))
	case !idPattern.MatchString(d.Intent):
		return fail("intent", "%.40q is not 32 hex digits", d.Intent)
	case !hashPattern.MatchString(d.IntentSHA256):
		return fail("intent_sha256", "%.80q is not a sha256", d.IntentSHA256)
	case len(d.Objects) > MaxObjects:
		return fail("objects", "%d, at most %d fit", len(d.Objects), MaxObjects)
	case len(d.Gaps) > MaxGaps:
		return fail("gaps", "%d, at most %d fit", len(d.Gaps), MaxGaps)
	case d.Scored < 0 || d.Dead < 0 || d.Dropped < 0:
		return fail("scored, dead, dropped", "%d, %d, %d: none may be negative", d.Scored, d.Dead, d.Dropped)
	case d.Lost != [2]int64{} && (d.Lost[0] < 0 || d.Lost[1] <= d.Lost[0]):
		return fail("lost", "[%d, %d) is no range", d.Lost[0], d.Lost[1])
	case d.Lost != [2]int64{} && len(d.Gaps) > 0 && d.Gaps[0][0] < d.Lost[1]:
		return fail("gaps[0]", "[%d, %d) is in or before what is lost, [%d, %d)", d.Gaps[0][0], d.Gaps[0][1], d.Lost[0], d.Lost[1])
	}
	for i, g := range d.Gaps {
		if g[0] < 0 || g[1] <= g[0] || i > 0 && g[0] <= d.Gaps[i-1][1] {
			return fail(fmt.Sprintf("gaps[%d]", i), "[%d, %d) is empty, or not after the one before", g[0], g[1])
		}
	}
	if err := d.validateRuns(fail); err != nil {
		return err
	}
	rows := map[ObjectKind]int64{Scored: 0, Dead: 0}
	for i, o := range d.Objects {
		field := fmt.Sprintf("objects[%d]", i)
		if _, known := rows[o.Kind]; !known {
			return fail(field+".kind", "%.20q is neither %q nor %q", o.Kind, Scored, Dead)
		}
		if err := storage.ValidateKey(o.Key); err != nil {
			return fail(field+".key", "%w", err)
		}
		switch {
		case i > 0 && o.Key <= d.Objects[i-1].Key:
			return fail(field+".key", "%q is not after %q", o.Key, d.Objects[i-1].Key)
		case o.SizeBytes <= 0:
			return fail(field+".size", "%d is not positive", o.SizeBytes)
		case !hashPattern.MatchString(o.SHA256):
			return fail(field+".sha256", "%.80q is not a sha256", o.SHA256)
		case o.Rows <= 0 || o.Rows > math.MaxInt64-rows[o.Kind]:
			return fail(field+".rows", "%d is not a number of rows", o.Rows)
		}
		rows[o.Kind] += o.Rows
	}
	if t, c := d.Total, d.Counts(); t.Scored < c.Scored || t.Dead < c.Dead || t.Dropped < c.Dropped || t.Missing < 0 {
		return fail("total", "%v is below the slot's own %v", t, c)
	}
	if rows[Scored] != d.Scored {
		return fail("scored", "%d, but its objects hold %d rows", d.Scored, rows[Scored])
	}
	if rows[Dead] != d.Dead {
		return fail("dead", "%d, but its objects hold %d lines", d.Dead, rows[Dead])
	}
	return nil
}

// validateRuns checks what only a compaction's record has.
func (d Done) validateRuns(fail func(field, format string, args ...any) error) error {
	switch {
	case len(d.Inputs) > MaxInputs:
		return fail("inputs", "%d, at most %d fit", len(d.Inputs), MaxInputs)
	case len(d.Runs) > MaxRuns:
		return fail("runs", "%d, at most %d fit", len(d.Runs), MaxRuns)
	case d.Offsets[0] < 0 || d.Offsets[1] < d.Offsets[0]:
		return fail("offsets", "[%d, %d) is no range", d.Offsets[0], d.Offsets[1])
	}
	seen := make(map[uint64]bool, len(d.Inputs))
	for i, slot := range d.Inputs {
		if slot >= d.Seq || seen[slot] {
			return fail(fmt.Sprintf("inputs[%d]", i), "slot %d is not before it or duplicated", slot)
		}
		seen[slot] = true
	}
	for i, r := range d.Runs {
		switch {
		case r[0] >= r[1] || r[1] > r[2] || r[2] >= d.Seq || seen[r[2]]:
			return fail(fmt.Sprintf("runs[%d]", i), "[%d, %d) in slot %d is no merged run that is left", r[0], r[1], r[2])
		case i > 0 && r[0] < d.Runs[i-1][1]:
			return fail(fmt.Sprintf("runs[%d]", i), "slot %d is not after the run before", r[0])
		}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && len(name) <= MaxNameBytes && utf8.ValidString(name)
}

func validTopic(topic string) bool {
	return topicPattern.MatchString(topic) && topic != "." && topic != ".."
}
