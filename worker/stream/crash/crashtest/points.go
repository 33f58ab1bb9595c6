// Package crashtest lets a stream's process die, stall or be cut off at any of
// its steps: at each one that has an effect outside of the process, and at those
// at which the process changes what it does. Only tests import it, and a binary
// built with the tag chaos.
//
// Points is the table of steps. A Gate stands between one process and its store,
// its topic and its outbox, and is its crash.Hook. A Script says what happens at
// which steps; its text form, "claim:unanswered:2:exit", is that of the variable
// THALWEG_CRASH, which the chaos binary reads.
package crashtest

import (
	"slices"
	"strings"

	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/worker/stream/crash"
)

// The calls that somebody names; Points has the others. The steps without a call
// are in package crash.
const (
	FindEnd            crash.Point = "find-end"
	ListAfterEnd       crash.Point = "list-after-end"
	LookUpTopic        crash.Point = "look-up-topic"
	Fetch              crash.Point = "fetch"
	Claim              crash.Point = "claim"
	PublishRows        crash.Point = "publish-rows"
	PublishDeadLetters crash.Point = "publish-dead-letters"
	DeliverDeadLetters crash.Point = "deliver-dead-letters"
	BeginRows          crash.Point = "begin-rows"
	SendRows           crash.Point = "send-rows"
	Finish             crash.Point = "finish"
	CommitTable        crash.Point = "commit-table"
)

// Scenario is what has to happen for a step to occur.
type Scenario string

// The scenarios, each of which a test plays: see Step.
const (
	Stream  Scenario = "stream"  // a partition is scored
	Merging Scenario = "merging" // and its small files are merged
	Table   Scenario = "table"   // a table is kept of a log that grows
)

// Call is one use of a seam.
type Call struct {
	Op   fault.Op
	Key  string // the object; of a listing, the prefix
	Mine bool   // this process has tried to create the object
	// Merging: the newest claim that this process has tried is a compaction's.
	Merging bool
}

// Step is a registered point.
type Step struct {
	Scenario Scenario
	Point    crash.Point
	What     string
	// Is tells the calls of a seam that are this step; nil for a step that the
	// process takes by Gate.Do. The first step in the table that a call is counts.
	Is func(c Call) bool
	// Needs are plans without which the step does not occur: a record is read back
	// only when the answer to its creation was lost.
	Needs []Plan
}

// lost are the plans that make a creation be doubted each time.
func lost(p crash.Point) []Plan {
	return []Plan{{Point: p, When: Unanswered, Nth: always, Action: Drop}}
}

// Points returns the table of steps. A call of a seam that is none of them is an
// error of the one who added it: see Script.Unknown.
func Points() []Step {
	return []Step{
		{Stream, "read-claim", "whose claim a slot holds is read, after doubt", reads(isIntent, true), lost(Claim)},
		{Stream, "read-done", "what finished a slot is read, after doubt", reads(isDone, true), lost(Finish)},
		{Stream, "read-rows", "rows that are there are compared, after doubt", reads(isRows, true), lost(PublishRows)},
		{Stream, "read-dead-letters", "dead letters that are there are compared, after doubt", reads(isLetters, true), lost(PublishDeadLetters)},
		{Stream, FindEnd, "the newest claim is looked for", func(c Call) bool { return c.Op == fault.Head && isIntent(c.Key) }, nil},
		{Stream, ListAfterEnd, "the log is listed after its end", lists(isLog, isRows, isLetters), nil},
		{Stream, "read-record", "records are read", reads(isLog, false), nil},
		{Stream, "find-start", "the topic's first offset is read", op(fault.Bounds), []Plan{{Claim, Before, 1, Exit}, {Claim, Before, 2, Exit}}},
		{Stream, LookUpTopic, "the topic is looked up: which one it is, how many partitions", op(fault.Topic), nil},
		{Stream, crash.LoadModel, "a model version is loaded", nil, nil},
		{Stream, Fetch, "records are fetched", op(fault.Fetch), nil},
		{Stream, crash.Score, "a batch is scored", nil, nil},
		{Merging, "claim-merge", "a slot is claimed for merged rows", merging(creates(isIntent)), nil},
		{Merging, "publish-merged", "merged rows are written", merging(creates(isRows)), nil},
		{Merging, "finish-merge", "a slot of merged rows is finished", merging(creates(isDone)), nil},
		{Merging, "read-merged", "rows are read whole, to be merged", func(c Call) bool { return c.Op == fault.Get && isRows(c.Key) }, nil},
		{Merging, "sweep", "rows that were merged are deleted", func(c Call) bool { return c.Op == fault.Delete && isRows(c.Key) }, nil},
		{Stream, Claim, "a slot is claimed", creates(isIntent), nil},
		{Stream, PublishRows, "rows are written", creates(isRows), nil},
		{Stream, PublishDeadLetters, "dead letters are written", creates(isLetters), nil},
		{Stream, DeliverDeadLetters, "dead letters are put into their topic", op(fault.Deliver), nil},
		{Stream, BeginRows, "the topic of rows is taken over, and asked how far they are", op(fault.Begin), nil},
		{Stream, SendRows, "rows and the position that they lead to are committed", op(fault.Append), nil},
		{Stream, Finish, "a slot is finished", creates(isDone), nil},
		{Stream, "commit-offset", "the group's offset is written", op(fault.Commit), nil},
		{Stream, crash.Pause, "a pause is requested or ended", nil, nil},
		{Stream, crash.Recover, "another's claim is taken up", nil, []Plan{{Claim, After, 1, Exit}, {Claim, After, 2, Exit}, {Claim, After, 3, Exit}}},
		{Stream, crash.Drain, "a drain is requested", nil, nil},

		{Table, "read-table-commit", "whose version of the table is there is read, after doubt", reads(isTable, true), lost(CommitTable)},
		{Table, "list-table", "the table's versions are listed", lists(isTable), nil},
		{Table, "read-table", "versions of the table are read", reads(isTable, false), nil},
		{Table, "inspect-rows", "the statistics of rows are read", reads(isRows, false), nil},
		{Table, CommitTable, "a version of the table is written", creates(isVersion), nil},
		{Table, "checkpoint-table", "a checkpoint of the table is written", creates(isTable), nil},
		{Table, "hint-table", "the newest checkpoint is named", func(c Call) bool { return c.Op == fault.Put && isTable(c.Key) }, nil},
	}
}

// Of returns the steps of a scenario.
func Of(s Scenario) []Step {
	return slices.DeleteFunc(Points(), func(step Step) bool { return step.Scenario != s })
}

func op(o fault.Op) func(Call) bool { return func(c Call) bool { return c.Op == o } }

func creates(kind func(key string) bool) func(Call) bool {
	return func(c Call) bool { return c.Op == fault.PutIfAbsent && kind(c.Key) }
}

func merging(is func(Call) bool) func(Call) bool {
	return func(c Call) bool { return c.Merging && is(c) }
}

func lists(kinds ...func(key string) bool) func(Call) bool {
	return func(c Call) bool {
		return c.Op == fault.List && slices.ContainsFunc(kinds, func(kind func(string) bool) bool { return kind(c.Key) })
	}
}

func reads(kind func(key string) bool, mine bool) func(Call) bool {
	return func(c Call) bool {
		return (c.Op&(fault.Head|fault.Get|fault.GetRange) != 0) && kind(c.Key) && (c.Mine || !mine)
	}
}

// The kinds of objects under a sink, by worker/stream/commitlog's layout.
func isLog(key string) bool     { return under(key, "_log/") }
func isRows(key string) bool    { return under(key, "data/") }
func isLetters(key string) bool { return under(key, "_dead/") }
func isIntent(key string) bool  { return isLog(key) && strings.HasSuffix(key, ".intent.json") }
func isDone(key string) bool    { return isLog(key) && strings.HasSuffix(key, ".done.json") }

func isTable(key string) bool   { return under(key, "_delta_log/") }
func isVersion(key string) bool { return isTable(key) && strings.HasSuffix(key, ".json") }

func under(key, dir string) bool {
	return strings.HasPrefix(key, dir) || strings.Contains(key, "/"+dir)
}
