// Package crash lets a stream's process die, stall or be cut off at any of its
// steps: at each one that has an effect outside of the process, and at those at
// which the process changes what it does.
//
// Points is the table of steps. A Gate is where the steps of one process pass:
// it stands between the process and its store and its topic, and in production
// there is none: a nil Gate hands everything through. A Script says at which
// steps what happens; its form in text, "claim:unanswered:2:exit", is that of
// THALWEG_CRASH, which only a binary built with the tag chaos reads.
package crash

import "strings"

// Point names a step.
type Point string

// The steps of a stream, in the order in which they come about first.
const (
	FindEnd        Point = "find-end"
	LookBeyond     Point = "look-beyond"
	ReadRecord     Point = "read-record"
	FindStart      Point = "find-start"
	LookUpTopic    Point = "look-up-topic"
	LoadModel      Point = "load-model"
	Fetch          Point = "fetch"
	Score          Point = "score"
	Claim          Point = "claim"
	ReadClaim      Point = "read-claim"
	PublishRows    Point = "publish-rows"
	ReadRows       Point = "read-rows"
	PublishLetters Point = "publish-letters"
	ReadLetters    Point = "read-letters"
	Finish         Point = "finish"
	ReadDone       Point = "read-done"
	CommitOffset   Point = "commit-offset"
	Pause          Point = "pause"
	Recover        Point = "recover"
	Drain          Point = "drain"
)

// Call is one use of a seam.
type Call struct {
	Op   string // the method: "put if absent" of a bucket, "fetch" of a source
	Key  string // the object; of a listing, the prefix
	Mine bool   // this process has tried to create the object
}

// Step is a registered point.
type Step struct {
	Point Point
	What  string
	// Is tells the calls of a seam that are this step; nil for a step that the
	// process takes by Gate.Do. The first step in the table that a call is counts.
	Is func(c Call) bool
	// Needs is what has to go wrong besides for the step to come about: a record
	// is read back only when the answer to its creation was lost.
	Needs []Plan
}

// always is the Nth of a plan that holds every time.
const always = 0

// lost are the plans that make a creation be doubted each time.
func lost(p Point) []Plan { return []Plan{{Point: p, When: Unanswered, Nth: always, Action: Drop}} }

// Points returns the table of steps. A call of a seam that is none of them is an
// error of the one who added it: see Script.Unknown.
func Points() []Step {
	return []Step{
		{ReadClaim, "whose claim a slot holds is read, after doubt", reads(isIntent, true), lost(Claim)},
		{ReadDone, "what finished a slot is read, after doubt", reads(isDone, true), lost(Finish)},
		{ReadRows, "rows that are there are compared, after doubt", reads(isRows, true), lost(PublishRows)},
		{ReadLetters, "dead letters that are there are compared, after doubt", reads(isLetters, true), lost(PublishLetters)},
		{FindEnd, "the newest claim is looked for", func(c Call) bool { return c.Op == "head" && isIntent(c.Key) }, nil},
		{LookBeyond, "the log is listed beyond its end", func(c Call) bool { return c.Op == "list" && (isLog(c.Key) || isRows(c.Key) || isLetters(c.Key)) }, nil},
		{ReadRecord, "the last records are read", reads(isLog, false), nil},
		{FindStart, "the topic's first offset is asked for", op("bounds"), []Plan{{Claim, Before, 1, Exit}, {Claim, Before, 2, Exit}}},
		{LookUpTopic, "the topic is looked up: which one it is, how many partitions", op("topic"), nil},
		{LoadModel, "a model version is loaded", nil, nil},
		{Fetch, "records are fetched", op("fetch"), nil},
		{Score, "a batch is scored", nil, nil},
		{Claim, "a slot is claimed", creates(isIntent), nil},
		{PublishRows, "rows are written", creates(isRows), nil},
		{PublishLetters, "dead letters are written", creates(isLetters), nil},
		{Finish, "a slot is finished", creates(isDone), nil},
		{CommitOffset, "the group's offset is written", op("commit"), nil},
		{Pause, "a pause is asked for or ended", nil, nil},
		{Recover, "another's claim is taken up", nil, []Plan{{Claim, After, 1, Exit}, {Claim, After, 2, Exit}, {Claim, After, 3, Exit}}},
		{Drain, "the end is asked for", nil, nil},
	}
}

func op(name string) func(Call) bool { return func(c Call) bool { return c.Op == name } }

func creates(kind func(key string) bool) func(Call) bool {
	return func(c Call) bool { return c.Op == "put if absent" && kind(c.Key) }
}

func reads(kind func(key string) bool, mine bool) func(Call) bool {
	return func(c Call) bool {
		return (c.Op == "head" || c.Op == "get" || c.Op == "get range") && kind(c.Key) && (c.Mine || !mine)
	}
}

// The kinds of objects under a sink, by storage/commitlog's layout.
func isLog(key string) bool     { return under(key, "_log/") }
func isRows(key string) bool    { return under(key, "data/") }
func isLetters(key string) bool { return under(key, "_dead/") }
func isIntent(key string) bool  { return isLog(key) && strings.HasSuffix(key, ".intent.json") }
func isDone(key string) bool    { return isLog(key) && strings.HasSuffix(key, ".done.json") }

func under(key, dir string) bool {
	return strings.HasPrefix(key, dir) || strings.Contains(key, "/"+dir)
}
