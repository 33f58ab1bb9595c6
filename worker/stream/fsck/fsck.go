// Package fsck judges what a stream has committed. It reads the records, the
// rows and the dead letters by itself, from their published formats
// (worker/stream/commitlog/DESIGN.md), and shares no code with those who write them:
// it imports neither the log nor the scorer, and reads Parquet with parquet-go's
// reader.
//
// For each partition under a sink it proves that
//
//  1. slots are numbered without a gap, each with one intent, and each but
//     the last with a done record;
//  2. records are whole (their sum) and chained (each intent names the sha256
//     of the done record before it, each done record that of its intent);
//  3. offsets are contiguous: an intent begins where the one before it ended.
//     Only a skip leaves offsets out, exactly those that it names, and only a
//     skip leads to another topic of the same name;
//  4. every object that a done record names is there with its size, sha256
//     and number of rows, and every object that is there is named, or belongs to
//     the one unfinished slot. Objects that a finished compaction replaced may be
//     there or not. Under the names of a slot of which the topic has lost the
//     beginning there may be late files that hold nothing but events which the
//     slot gives up (of a replay of events that it reads again: those that it left
//     dead letters), and under the name of a slot's dead letters an object of no
//     bytes, which keeps them from being late;
//  5. each offset of a range is in exactly one scored row or dead letter, or
//     in a gap that the record declares (offsets that the topic never held as
//     events), or among the events that it counts as dropped, or is given up: it
//     is of the beginning that the record declares as lost, and in no object;
//  6. every row and dead letter carries the provenance of its intent, and all
//     rows of a model version name one transform;
//  7. the model version of an intent was registered, with the intent's
//     checkpoint, before the intent's scored_at;
//  8. the totals of each done record are the sums so far;
//  9. a compaction replaces the live objects of the slots that it names and no
//     others, and its objects hold exactly the rows of those slots, in order:
//     each with the provenance of the slot that scored it, and, as long as the
//     replaced object is there, equal to its row in every column;
//  10. a row of a replay log is of an event that was a dead letter of the slots
//     that its intent names, and no event is scored twice over both logs;
//  11. the sink's Delta table, where there is one, is whole (versions without a
//     gap, behind a checkpoint where the first are gone; those with a sum have it;
//     the newest checkpoint has the state of the versions up to it), and names of each log exactly the objects
//     that were live when the slot of its txn was finished, with their size, rows
//     and day.
package fsck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// maxViolations bounds a verdict: a log that is wrong throughout needs no
// longer list to be judged.
const maxViolations = 1000

// Model is one registered model version.
type Model struct {
	Name           string
	Version        uint64
	Checkpoint     thalweg.ObjectRef
	RegisteredAtUS int64 // microseconds since 1970 UTC
}

// Verdict is what fsck found.
type Verdict struct {
	Prefix       string           `json:"prefix"`
	Partitions   []Partition      `json:"partitions"`
	Scored       int64            `json:"scored"`
	Dead         int64            `json:"dead"`
	Dropped      int64            `json:"dropped"`
	Absent       int64            `json:"absent"`  // offsets in gaps: the topic never held them as events
	Missing      int64            `json:"missing"` // offsets given up by operators
	Late         int64            `json:"late"`    // files of events that were given up, which no record names
	LateRows     int64            `json:"late_rows"`
	Replayed     int64            `json:"replayed"` // dead letters that were scored later; they are counted as dead
	Compactions  int64            `json:"compactions"`
	Replaced     int64            `json:"replaced"` // objects that compactions replaced
	Kept         int64            `json:"kept"`     // of those, the ones that are still there
	Files        int64            `json:"files"`
	Bytes        int64            `json:"bytes"`
	RowsByModel  map[string]int64 `json:"rows_by_model"` // "name version" → scored rows
	Violations   []Violation      `json:"violations"`
	MoreExist    bool             `json:"more_violations"` // beyond those listed
	TableVersion int64            `json:"table_version"`   // of the Delta table, -1: there is none
	TableBase    int64            `json:"table_base"`      // of the checkpoint that it was read from, -1: from its first version
	TableFiles   int64            `json:"table_files"`
	TableRows    int64            `json:"table_rows"`
	TableBehind  int64            `json:"table_behind"`        // finished slots that are not in it
	TableCut     string           `json:"table_cut,omitempty"` // why the table was not judged
	PendingSlots int              `json:"pending_slots"`       // claimed, not finished: being written, or to be taken over
}

// Partition is the judged log of one topic partition.
type Partition struct {
	Topic     string `json:"topic"`
	Partition string `json:"partition"`
	Slots     int    `json:"slots"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Scored    int64  `json:"scored"`
	Dead      int64  `json:"dead"`
	Missing   int64  `json:"missing"`
	Live      int    `json:"live"` // scored objects that a reader by log reads
	Pending   bool   `json:"pending"`
}

// Violation is one thing that is not as promised.
type Violation struct {
	Rule    int    `json:"rule"`    // the number in the package comment
	Subject string `json:"subject"` // the object, and where it matters the offset or field
	Message string `json:"message"`
}

// OK reports whether every promise held.
func (v *Verdict) OK() bool { return len(v.Violations) == 0 }

// String is the verdict for people.
func (v *Verdict) String() string {
	var b strings.Builder
	for _, p := range v.Partitions {
		fmt.Fprintf(&b, "  %s/%s: %d slots, offsets [%d, %d), %d scored, %d dead, %d live files", p.Topic, p.Partition, p.Slots, p.From, p.To, p.Scored, p.Dead, p.Live)
		if p.Missing > 0 {
			fmt.Fprintf(&b, ", %d offsets skipped", p.Missing)
		}
		if p.Pending {
			b.WriteString(", one slot pending")
		}
		b.WriteByte('\n')
	}
	for _, x := range v.Violations {
		fmt.Fprintf(&b, "  VIOLATION of rule %d: %s: %s\n", x.Rule, x.Subject, x.Message)
	}
	if v.MoreExist {
		b.WriteString("  … and more\n")
	}
	if v.Compactions > 0 {
		fmt.Fprintf(&b, "  %d compactions replaced %d files, of which %d are still there\n", v.Compactions, v.Replaced, v.Kept)
	}
	if v.Late > 0 {
		fmt.Fprintf(&b, "  %d late files have %d rows of events that were skipped: a plain glob sees them, readers of the log and the table do not\n", v.Late, v.LateRows)
	}
	if v.Replayed > 0 {
		fmt.Fprintf(&b, "  %d dead letters were scored by replays\n", v.Replayed)
	}
	if v.TableFiles > 0 {
		fmt.Fprintf(&b, "  table: version %d, %d files, %d rows, %d slots behind the logs\n", v.TableVersion, v.TableFiles, v.TableRows, v.TableBehind)
		if v.TableBase >= 0 {
			fmt.Fprintf(&b, "  read from its checkpoint of version %d, since the versions before are gone\n", v.TableBase)
		}
	}
	if v.TableCut != "" {
		fmt.Fprintf(&b, "  table not judged: %s\n", v.TableCut)
	}
	if v.OK() {
		fmt.Fprintf(&b, "  ok: %d events in exactly one row each (%d scored, %d dead letters), %d files, %d bytes read\n", v.Scored+v.Dead, v.Scored, v.Dead, v.Files, v.Bytes)
	} else {
		fmt.Fprintf(&b, "  NOT ok: %d violations\n", len(v.Violations))
	}
	return b.String()
}

func (v *Verdict) violate(rule int, subject, format string, args ...any) {
	if len(v.Violations) >= maxViolations {
		v.MoreExist = true
		return
	}
	v.Violations = append(v.Violations, Violation{rule, subject, fmt.Sprintf(format, args...)})
}

// judge is one run of fsck.
type judge struct {
	bucket  storage.Bucket
	prefix  string
	owner   string            // the pipeline
	owners  map[string]string // of other sinks, by prefix
	models  map[modelVersion]Model
	verdict *Verdict

	transforms map[modelVersion]string // as the first row of the version has it
}

type modelVersion struct {
	name    string
	version uint64
}

// Run judges every partition under the prefix of a pipeline's sink, which is empty or
// ends in a slash. An error says that judging was not possible; what is wrong with the
// data is in the verdict.
func Run(ctx context.Context, bucket storage.Bucket, pipeline, prefix string, models []Model) (*Verdict, error) {
	j := &judge{bucket: bucket, owner: pipeline, owners: make(map[string]string), prefix: prefix, models: make(map[modelVersion]Model), transforms: make(map[modelVersion]string),
		verdict: &Verdict{Prefix: prefix, RowsByModel: make(map[string]int64), Violations: []Violation{}, Partitions: []Partition{}}}
	for _, m := range models {
		j.models[modelVersion{m.Name, m.Version}] = m
	}
	table, err := j.readTable(ctx) // before the logs, which are never behind it
	if err != nil {
		return nil, err
	}
	found, err := j.list(ctx)
	if err != nil {
		return nil, err
	}
	if err := j.others(ctx); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	walks := make(map[string]*walk)
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	var main *walk               // of the partition before, which a replay log belongs to
	for _, name := range names { // a replay log sorts after its main log
		if main, err = j.partition(ctx, name, found[name], main); err != nil {
			return nil, err
		}
		walks[name] = main
	}
	j.checkTable(table, walks)
	return j.verdict, nil
}

// objects are those of one partition, by what they are: key → size.
type objects struct {
	log, data, dead map[string]int64
}

// list finds everything under the prefix, by topic/partition. The log comes
// last: whoever writes meanwhile claims before writing, so every object listed
// before has its intent listed after.
func (j *judge) list(ctx context.Context) (map[string]*objects, error) {
	found := make(map[string]*objects)
	for _, kind := range []struct {
		dir  string
		pick func(*objects) map[string]int64
	}{
		{"data/", func(o *objects) map[string]int64 { return o.data }},
		{"_dead/", func(o *objects) map[string]int64 { return o.dead }},
		{"_log/", func(o *objects) map[string]int64 { return o.log }},
	} {
		for info, err := range j.bucket.List(ctx, j.prefix+kind.dir, "") {
			if err != nil {
				return nil, err
			}
			parts := strings.Split(strings.TrimPrefix(info.Key, j.prefix+kind.dir), "/")
			if len(parts) != 3 && !(len(parts) == 5 && kind.dir == "data/") { // two more: the slot's, and a day's
				j.verdict.violate(4, info.Key, "no object of a stream belongs here%s", j.ofWhom(ctx, info.Key))
				continue
			}
			name := parts[0] + "/" + parts[1]
			if found[name] == nil {
				found[name] = &objects{log: map[string]int64{}, data: map[string]int64{}, dead: map[string]int64{}}
			}
			kind.pick(found[name])[info.Key] = info.SizeBytes
		}
	}
	return found, nil
}

// exists reports whether an object is there.
func (j *judge) exists(ctx context.Context, key string) (bool, error) {
	_, err := j.bucket.Head(ctx, key)
	if thalweg.Is(err, thalweg.NotFound) {
		return false, nil
	}
	return err == nil, err
}
