package fsck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg"
)

// maxRecordBytes is the format's bound of one record.
const maxRecordBytes = 256 << 10

// intentRecord is thalweg.intent/v1.
type intentRecord struct {
	Format       string        `json:"format"`
	Seq          uint64        `json:"seq"`
	ID           string        `json:"id"`
	Pipeline     string        `json:"pipeline"`
	Topic        string        `json:"topic"`
	Partition    int           `json:"partition"`
	From         int64         `json:"from"`
	To           int64         `json:"to"`
	Model        string        `json:"model"`
	ModelVersion uint64        `json:"model_version"`
	Checkpoint   checkpointRef `json:"checkpoint"`
	Generation   uint64        `json:"spec_generation"`
	ScoredAtUS   int64         `json:"scored_at_us"`
	Previous     string        `json:"previous"`
	Action       string        `json:"action,omitempty"`
	TopicID      string        `json:"topic_id,omitempty"`
	Slots        [2]uint64     `json:"slots,omitzero"`
	Missing      [2]int64      `json:"missing,omitzero"`
	Where        string        `json:"where,omitempty"`
	Reread       bool          `json:"reread,omitempty"`
	LeaderEpoch  int32         `json:"leader_epoch,omitempty"`
	PartitionBy  string        `json:"partition_by,omitempty"`
	RowsTopic    string        `json:"rows_topic,omitempty"`
	Rollout      rolloutRecord `json:"rollout,omitzero"`
	Sum          string        `json:"sum"`
}

// rolloutRecord is of an intent: another version of the model that scores beside it.
type rolloutRecord struct {
	Candidate  uint64        `json:"candidate"`
	Checkpoint checkpointRef `json:"checkpoint"`
	Percent    uint32        `json:"percent"`
	Salt       string        `json:"salt"`
	By         string        `json:"by,omitempty"`
	Shadow     bool          `json:"shadow,omitempty"`
}

// scores reports whether the rows of an intent may be of a version.
func (in *intentRecord) scores(version uint64) bool {
	return version == in.ModelVersion || version == in.Rollout.Candidate && version > 0 && !in.Rollout.Shadow
}

type checkpointRef struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"`
}

// doneRecord is thalweg.done/v1.
type doneRecord struct {
	Format       string         `json:"format"`
	Seq          uint64         `json:"seq"`
	Intent       string         `json:"intent"`
	IntentSHA256 string         `json:"intent_sha256"`
	Objects      []objectRecord `json:"objects"`
	Gaps         [][2]int64     `json:"gaps"`
	Lost         [2]int64       `json:"lost,omitzero"`
	Inputs       []uint64       `json:"inputs,omitempty"`
	Offsets      [2]int64       `json:"offsets,omitzero"`
	Runs         [][3]uint64    `json:"runs,omitempty"`
	Scored       int64          `json:"scored"`
	Dead         int64          `json:"dead"`
	Dropped      int64          `json:"dropped"`
	Total        counts         `json:"total"`
	Sum          string         `json:"sum"`
}

type objectRecord struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	Rows   int64  `json:"rows"`
	Kind   string `json:"kind"`
}

type counts struct {
	Scored  int64 `json:"scored"`
	Dead    int64 `json:"dead"`
	Dropped int64 `json:"dropped"`
	Missing int64 `json:"missing,omitempty"`
}

// The actions of an intent; what is none of them cannot be judged.
const (
	actionScore   = ""
	actionCompact = "compact"
	actionSkip    = "skip"
	actionReplay  = "replay"
)

// record reads one record; ok is false, and a violation noted, if it is none.
func (j *judge) record(ctx context.Context, key string, into any) (sum string, ok bool, err error) {
	body, _, err := j.bucket.Get(ctx, key)
	if thalweg.Is(err, thalweg.NotFound) {
		j.verdict.violate(1, key, "listed, but not there")
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	whole := sha256.Sum256(body)
	sum = hex.EncodeToString(whole[:])
	if why := parseRecord(body, into); why != "" {
		j.verdict.violate(2, key, "%s", why)
		return "", false, nil
	}
	return sum, true, nil
}

// parseRecord checks a record's own sum and decodes it; it returns what is
// wrong, or "".
func parseRecord(body []byte, into any) string {
	if len(body) > maxRecordBytes {
		return fmt.Sprintf("%d bytes are no record", len(body))
	}
	at := bytes.LastIndex(body, []byte(`,"sum":"`))
	if at < 0 {
		return "the record has no sum"
	}
	part := sha256.Sum256(body[:at])
	if want := fmt.Sprintf(`,"sum":"%x"}`+"\n", part); string(body[at:]) != want {
		return "the record is damaged: its bytes do not have its sum"
	}
	if err := json.Unmarshal(body, into); err != nil {
		return "the record cannot be read: " + err.Error()
	}
	return ""
}

// intent reads the claim of a slot.
func (j *judge) intent(ctx context.Context, key, topic string, partition int, replay bool, slot uint64) (in intentRecord, sum string, ok bool, err error) {
	sum, ok, err = j.record(ctx, key, &in)
	if err != nil || !ok {
		return in, sum, ok, err
	}
	if in.Format != "thalweg.intent/v1" || in.Seq != slot || in.Topic != topic || in.Partition != partition || len(in.ID) != 32 {
		j.verdict.violate(1, key, "is a record of another kind, slot or partition")
		return in, sum, false, nil
	}
	if in.Pipeline != j.owner {
		j.verdict.violate(6, key, "is of pipeline %q, and the sink that of %q: what follows is not judged", in.Pipeline, j.owner)
		return in, sum, false, nil
	}
	switch in.Action {
	case actionScore, actionCompact, actionSkip:
		ok = !replay
	case actionReplay:
		ok = replay
	default:
		ok = false
	}
	if !ok {
		j.verdict.violate(1, key, "action %.20q is unknown, or not of this log: what follows cannot be judged", in.Action)
	}
	return in, sum, ok, nil
}

// done reads the done record of an intent.
func (j *judge) done(ctx context.Context, key string, in intentRecord, intentSum string) (d doneRecord, sum string, ok bool, err error) {
	sum, ok, err = j.record(ctx, key, &d)
	if err != nil || !ok {
		return d, sum, ok, err
	}
	if d.Format != "thalweg.done/v1" || d.Seq != in.Seq || d.Intent != in.ID || d.IntentSHA256 != intentSum {
		j.verdict.violate(2, key, "is not the done record of the slot's intent")
		return d, sum, false, nil
	}
	return d, sum, true, nil
}
