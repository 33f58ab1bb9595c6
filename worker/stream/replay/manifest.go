package replay

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker/stream/commitlog"
	"github.com/thalweg/thalweg/worker/stream/engine"
)

// Name is the object that pins a replay, under its prefix.
const Name = commitlog.ReplayMark

// maxManifestBytes bounds it: every partition that a topic can have fits.
const maxManifestBytes = 16 << 20

const manifestFormat = "thalweg.replay/v1"

// Manifest pins a replay. What it scores, and to what, follows from it alone.
type Manifest struct {
	Format     string               `json:"format"`
	Pipeline   thalweg.PipelineName `json:"pipeline"`
	Generation thalweg.Generation   `json:"spec_generation"` // that the rows carry
	Topic      string               `json:"topic"`
	TopicID    string               `json:"topic_id"` // which topic of that name; empty where brokers give none
	// Candidate is the version that scores, byte for byte.
	engine.Candidate
	// From and To are the bounds as they were given, Partitions what they meant when
	// the replay began.
	From       string  `json:"from"`
	To         string  `json:"to"`
	Partitions []Range `json:"partitions"`
	// Live is where the stream that is replayed puts its rows, s3://bucket/prefix/.
	Live string `json:"live"`
	// BegunAtUS is the _scored_at of the rows, in microseconds since 1970 UTC.
	BegunAtUS int64 `json:"begun_at_us"`
}

// Range is the offsets [From, To) of one partition.
type Range struct {
	Partition int   `json:"partition"`
	From      int64 `json:"from"`
	To        int64 `json:"to"`
}

// Events returns how many offsets the replay has.
func (m *Manifest) Events() int64 {
	n := int64(0)
	for _, r := range m.Partitions {
		n += r.To - r.From
	}
	return n
}

// ReadManifest returns what pins the replay under a prefix; NotFound if there
// is none.
func ReadManifest(ctx context.Context, bucket storage.Bucket, prefix string) (*Manifest, error) {
	key := prefix + Name
	info, err := bucket.Head(ctx, key)
	if thalweg.Is(err, thalweg.NotFound) {
		err = &thalweg.Error{Op: "read replay", Kind: thalweg.NotFound, Subject: key, Hint: "no replay has written there"}
	}
	if err != nil {
		return nil, err
	}
	corrupt := func(err error) error {
		return &thalweg.Error{Op: "read replay", Kind: thalweg.Corrupt, Subject: key, Err: err}
	}
	if info.SizeBytes > maxManifestBytes {
		return nil, corrupt(fmt.Errorf("%d bytes, at most %d are one", info.SizeBytes, maxManifestBytes))
	}
	body, _, err := bucket.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := thalweg.DecodeStrict(body, m); err != nil {
		return nil, corrupt(err)
	}
	if m.Format != manifestFormat {
		return nil, corrupt(fmt.Errorf("format %.40q, want %q", m.Format, manifestFormat))
	}
	for i, r := range m.Partitions {
		if r.From < 0 || r.To <= r.From || i > 0 && r.Partition <= m.Partitions[i-1].Partition {
			return nil, corrupt(fmt.Errorf("partition %d: [%d, %d) is empty or out of order", r.Partition, r.From, r.To))
		}
	}
	return m, nil
}

// differs names the first argument in which two replays differ, "" if they are
// one.
func (m *Manifest) differs(o *Manifest) string {
	for _, f := range []struct{ name, have, want any }{
		{"pipeline", m.Pipeline, o.Pipeline}, {"topic", m.Topic, o.Topic}, {"topic's identity", m.TopicID, o.TopicID},
		{"model", m.Name, o.Name}, {"model version", m.Version, o.Version}, {"checkpoint", m.Checkpoint.String(), o.Checkpoint.String()},
		{"from", m.From, o.From}, {"to", m.To, o.To},
	} {
		if f.have != f.want {
			return fmt.Sprintf("its %v is %v, not %v", f.name, f.have, f.want)
		}
	}
	return ""
}

// pin makes want the replay of the prefix, or returns the one that it holds
// already if that has the same arguments. want's Partitions come from resolve,
// which is called only if the prefix is empty.
func pin(ctx context.Context, bucket storage.Bucket, prefix string, want Manifest, resolve func() ([]Range, error)) (*Manifest, error) {
	resume := func(have *Manifest) (*Manifest, error) {
		if why := have.differs(&want); why != "" {
			return nil, &thalweg.Error{Op: "replay", Kind: thalweg.Conflict, Subject: prefix, Err: fmt.Errorf("another replay is stored there: %s", why),
				Hint: "give --into a prefix of its own"}
		}
		return have, nil
	}
	have, err := ReadManifest(ctx, bucket, prefix)
	if err == nil {
		return resume(have)
	}
	if !thalweg.Is(err, thalweg.NotFound) {
		return nil, err
	}
	if err := vacant(ctx, bucket, prefix); err != nil {
		return nil, err
	}
	if want.Partitions, err = resolve(); err != nil {
		return nil, err
	}
	want.Format = manifestFormat
	body, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		return nil, err
	}
	_, err = bucket.PutIfAbsent(ctx, prefix+Name, append(body, '\n'))
	if kind := thalweg.KindOf(err); err != nil && kind != thalweg.Exists && kind != thalweg.Conflict && kind != thalweg.Unavailable {
		return nil, err
	} // else it is ours, or that of another who began at the same time
	if have, err = ReadManifest(ctx, bucket, prefix); err != nil {
		return nil, err
	}
	return resume(have)
}

// vacant fails unless nothing lies under prefix and no folder above it is the
// sink of a stream or of another replay.
func vacant(ctx context.Context, bucket storage.Bucket, prefix string) error {
	taken := func(key, what string) error {
		return &thalweg.Error{Op: "replay", Kind: thalweg.Conflict, Subject: prefix, Err: fmt.Errorf("%s: %s is there", what, key),
			Hint: "give --into a prefix of its own"}
	}
	for info, err := range bucket.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		return taken(info.Key, "it is not empty")
	}
	key, err := commitlog.Around(ctx, bucket, prefix)
	if err == nil && key != "" {
		err = taken(key, "it lies inside of another sink")
	}
	return err
}
