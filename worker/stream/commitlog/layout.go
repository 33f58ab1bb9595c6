package commitlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Layout gives every object of one topic partition its key. Under the sink's
// prefix P, with topic flights, partition 0, slot 7 and offsets [350, 400):
//
//	P_log/flights/00000/000000000007.intent.json
//	P_log/flights/00000/000000000007.done.json
//	Pdata/flights/00000/000000000007-0000000000000000350-0000000000000000400-<id>-00.parquet
//	P_dead/flights/00000/000000000007-0000000000000000350-0000000000000000400-<id>-00.jsonl
//
// The last two follow from the intent alone. Of an intent with PartitionBy date,
// the scored rows are split by days, in directories below that name:
//
//	Pdata/flights/00000/000000000007-0000000000000000350-0000000000000000400-<id>-00/date_date=2026-01-31/rows.parquet
//
// A leading underscore hides the
// log and the dead letters from readers of data directories. The partition's
// replay log, with its rows and what is dead again, has directories of its own:
// P_log/flights/00000-replay/ and so on.
type Layout struct {
	Prefix    string // of the sink: empty, or a key prefix that ends in a slash
	Topic     string
	Partition int
	Replay    bool // the replay log of the partition, not its main log
}

const (
	intentSuffix = ".intent.json"
	doneSuffix   = ".done.json"
	seqDigits    = 12 // of MaxSeq
)

// LogDir returns the prefix of the log's records.
func (y Layout) LogDir() string { return y.dir("_log") }

// DataDir returns the prefix of the objects of scored rows.
func (y Layout) DataDir() string { return y.dir("data") }

// DeadDir returns the prefix of the dead-letter objects.
func (y Layout) DeadDir() string { return y.dir("_dead") }

func (y Layout) dir(kind string) string {
	suffix := ""
	if y.Replay {
		suffix = "-replay"
	}
	return fmt.Sprintf("%s%s/%s/%05d%s/", y.Prefix, kind, y.Topic, y.Partition, suffix)
}

// IntentKey returns the key of slot seq's intent.
func (y Layout) IntentKey(seq uint64) string {
	return fmt.Sprintf("%s%0*d%s", y.LogDir(), seqDigits, seq, intentSuffix)
}

// DoneKey returns the key of slot seq's done record.
func (y Layout) DoneKey(seq uint64) string {
	return fmt.Sprintf("%s%0*d%s", y.LogDir(), seqDigits, seq, doneSuffix)
}

// DeadKey returns the key of an intent's dead letters.
func (y Layout) DeadKey(in Intent) string { return y.DeadDir() + objectName(in) + ".jsonl" }

// Unknown is the day of rows whose column is null, as Hive spells it.
const Unknown = "__HIVE_DEFAULT_PARTITION__"

// DataKey returns the key of an intent's scored rows, or of those of one day of
// its PartitionBy column, "2026-01-31" or Unknown. The directory of the day is
// spelt as Hive does, so that readers of directories know it for a column;
// leading underscores, which hide a directory, are left out of its name.
func (y Layout) DataKey(in Intent, day string) string {
	if in.PartitionBy == "" {
		return y.DataDir() + objectName(in) + ".parquet"
	}
	return y.DataDir() + objectName(in) + "/" + PartitionColumn(in.PartitionBy) + "=" + day + "/rows.parquet"
}

// PartitionColumn returns the name of the date column that partitioning by a
// column makes.
func PartitionColumn(column string) string { return strings.TrimLeft(column, "_") + "_date" }

// names reports whether a key is one that follows from an intent, for an object of
// a kind.
func (y Layout) names(in Intent, kind ObjectKind, key string) bool {
	if kind != Scored || in.PartitionBy == "" {
		return key == y.key(in, kind, "")
	}
	before, after, _ := strings.Cut(y.DataKey(in, "*"), "*")
	day, ok := strings.CutPrefix(key, before)
	if ok {
		day, ok = strings.CutSuffix(day, after)
	}
	at, err := time.Parse(time.DateOnly, day)
	return ok && (day == Unknown || err == nil && at.Format(time.DateOnly) == day)
}

// DayOf returns the day that an intent's object of scored rows is of, as in
// DataKey; "" where the intent is not partitioned.
func DayOf(in Intent, key string) string {
	if in.PartitionBy == "" {
		return ""
	}
	dir := key[:max(0, strings.LastIndexByte(key, '/'))]
	_, day, _ := strings.Cut(dir[strings.LastIndexByte(dir, '/')+1:], "=")
	return day
}

// SlotOf returns the slot whose object of scored rows lies under a key, as its
// name tells, and whether it is one that a compaction merged: its range has no
// offsets of its own. ok is false if the key is no such object's.
func (y Layout) SlotOf(key string) (seq uint64, merged, ok bool) {
	name, ok := strings.CutPrefix(key, y.DataDir())
	if !ok {
		return 0, false, false
	}
	name, _, _ = strings.Cut(name, "/")
	name = strings.TrimSuffix(name, ".parquet")
	var in Intent
	var id string
	if n, err := fmt.Sscanf(name, "%012d-%019d-%019d-%32s", &in.Seq, &in.From, &in.To, &id); err != nil || n != 4 {
		return 0, false, false
	}
	in.ID = strings.TrimSuffix(id, "-00")
	return in.Seq, in.From == in.To, name == objectName(in)
}

func (y Layout) key(in Intent, kind ObjectKind, day string) string {
	if kind == Dead {
		return y.DeadKey(in)
	}
	return y.DataKey(in, day)
}

// objectName ends in the number of the object among those of its kind, of which
// an intent has one.
func objectName(in Intent) string {
	return fmt.Sprintf("%0*d-%019d-%019d-%s-00", seqDigits, in.Seq, in.From, in.To, in.ID)
}

// parseRecordKey is the inverse of IntentKey and DoneKey.
func (y Layout) parseRecordKey(key string) (seq uint64, done, ok bool) {
	name, ok := strings.CutPrefix(key, y.LogDir())
	if !ok || len(name) < seqDigits {
		return 0, false, false
	}
	seq, err := strconv.ParseUint(name[:seqDigits], 10, 64)
	switch suffix := name[seqDigits:]; {
	case err != nil:
		return 0, false, false
	case suffix == doneSuffix:
		return seq, true, true
	case suffix == intentSuffix:
		return seq, false, true
	}
	return 0, false, false
}

func (y Layout) validate() error {
	fail := func(field, format string, args ...any) error {
		return &thalweg.Error{Op: "check log", Kind: thalweg.Invalid, Subject: field, Err: fmt.Errorf(format, args...)}
	}
	if !validTopic(y.Topic) {
		return fail("topic", "%.60q is not a Kafka topic", y.Topic)
	}
	if y.Partition < 0 || y.Partition > MaxPartition {
		return fail("partition", "%d is not in 0..%d", y.Partition, MaxPartition)
	}
	if y.Prefix != "" && !strings.HasSuffix(y.Prefix, "/") {
		return fail("prefix", "%.80q does not end in a slash", y.Prefix)
	}
	longest := y.DataKey(Intent{Seq: MaxSeq, ID: strings.Repeat("0", 32), PartitionBy: strings.Repeat("x", 101)}, Unknown)
	if err := storage.ValidateKey(longest); err != nil {
		return fail("prefix", "%w", err)
	}
	return nil
}
