// Package fault is a test kit: it wraps buckets, sources and outboxes and makes
// chosen calls go wrong. Requests and replies are lost, effects come late,
// answers mislead, are damaged, stale or slow.
//
// A Plan says which calls, by rules and a seed. The errors it makes carry the
// seed, with which a failure is run again. Other kits decide in their own way
// what becomes of a call: see Interceptor.
package fault

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"strings"
)

// Op is a set of the operations of a storage.Bucket, a connectors.Source, a
// connectors.Outbox and a connectors.Appender.
type Op uint16

// The operations.
const (
	Get         Op = 1 << iota // storage.Bucket.Get
	GetRange                   // storage.Bucket.GetRange
	Put                        // storage.Bucket.Put
	PutIfAbsent                // storage.Bucket.PutIfAbsent
	Head                       // storage.Bucket.Head
	List                       // storage.Bucket.List
	Delete                     // storage.Bucket.Delete
	Topic                      // connectors.Source.Topic
	Bounds                     // connectors.Source.Bounds
	Fetch                      // connectors.Source.Fetch
	Commit                     // connectors.Source.Commit
	Deliver                    // connectors.Outbox.Deliver
	Begin                      // connectors.Appender.Begin
	Append                     // connectors.Appender.Append

	Reads   = Get | GetRange | Head | List | Topic | Bounds | Fetch
	Writes  = Put | PutIfAbsent | Delete | Commit | Deliver | Begin | Append
	OfTopic = Topic | Bounds | Fetch | Commit | Deliver | Begin | Append
	Any     = Reads | Writes
)

var opNames = [...]string{"get", "get range", "put", "put if absent", "head", "list", "delete", "topic", "bounds", "fetch", "commit", "deliver", "begin", "append"}

// String names a single operation.
func (o Op) String() string { return opNames[bits.TrailingZeros16(uint16(o))] }

// Fault is a way for an operation to go wrong.
type Fault uint8

// The faults. Where nothing else is said the call fails with Unavailable; as in
// life, the error does not tell which fault it was.
const (
	LostRequest Fault = iota + 1 // any: it never arrives
	LostReply                    // writes: it takes effect, the reply is lost
	Late                         // writes: it takes effect only some operations later
	Reply412                     // PutIfAbsent: it takes effect, and an inner retry turns the reply into Exists
	Reply409                     // PutIfAbsent: refused because another one is under way
	Reply500                     // of a bucket: an internal error, for writes in one of two cases after the effect
	Reply503                     // of a bucket: slow down
	Truncated                    // Get, Fetch: a part of the answer and no error; GetRange and List break off
	BitFlip                      // Get, GetRange: one bit differs, and no error; Fetch: the checksum tells (Corrupt)
	Slow                         // any: it takes its time, and goes well if the caller waits
	Stale                        // Topic, Bounds: the answer of last time
	Duplicate                    // Fetch: the answer begins with records from before the offset asked for
)

var faultNames = [...]string{"none", "lost request", "lost reply", "late", "reply 412", "reply 409", "reply 500", "reply 503", "truncated", "bit flip",
	"slow", "stale", "duplicate"}

func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return faultNames[0]
}

// Ops returns the operations that can go wrong in this way.
func (f Fault) Ops() Op {
	switch f {
	case LostReply, Late:
		return Writes
	case Reply412, Reply409:
		return PutIfAbsent
	case Reply500, Reply503:
		return Any &^ OfTopic
	case Truncated:
		return Get | GetRange | List | Fetch
	case BitFlip:
		return Get | GetRange | Fetch
	case Stale:
		return Topic | Bounds
	case Duplicate:
		return Fetch
	}
	return Any
}

// Rule makes chosen calls go wrong. The key of a call is the object's, the prefix
// of a List, or the number of a partition.
type Rule struct {
	Fault Fault
	Ops   Op                    // which operations; 0: all that can fail in this way
	Match func(key string) bool // which keys; nil: all
	Rate  float64               // share of the matching calls that fail, 0..1
	Skip  int                   // of each key's calls of one operation, so many pass first
	Times int                   // so many of each key's calls of one operation fail at most; 0: no bound
}

// Plan says which calls go wrong and how. Whether the n-th call of an operation
// on a key does follows from Seed, the key and n alone, so a plan means the same
// however goroutines interleave.
type Plan struct {
	Seed  uint64
	Rules []Rule // the first that hits decides
}

// Chaos returns a plan in which each fault in turn hits at the given rate. With
// no faults named it has all of a bucket that leave stored and returned bytes
// intact and take no time.
func Chaos(seed uint64, rate float64, faults ...Fault) Plan {
	if len(faults) == 0 {
		faults = []Fault{LostRequest, LostReply, Late, Reply412, Reply409, Reply500, Reply503}
	}
	p := Plan{Seed: seed}
	for _, f := range faults {
		p.Rules = append(p.Rules, Rule{Fault: f, Rate: rate})
	}
	return p
}

// String names the plan by its seed, for a test's log.
func (p Plan) String() string {
	var rules []string
	for _, r := range p.Rules {
		rules = append(rules, fmt.Sprintf("%s %g", r.Fault, r.Rate))
	}
	return fmt.Sprintf("fault seed %d (%s)", p.Seed, strings.Join(rules, ", "))
}

// decide returns the fault of the n-th call (from 0) of op on key, and random
// bits for its details. failed counts, per rule, the failures so far of the
// calls of op on key.
func (p Plan) decide(op Op, key string, n int, failed []int) (Fault, uint64) {
	for i, r := range p.Rules {
		ops := r.Ops
		if ops == 0 {
			ops = Any
		}
		if ops&r.Fault.Ops()&op == 0 || n < r.Skip || r.Match != nil && !r.Match(key) || r.Times > 0 && failed[i] >= r.Times {
			continue
		}
		call := fnv.New64a()
		fmt.Fprintf(call, "%d/%d/%d/%s", i, op, n, key)
		if draw := rand.New(rand.NewPCG(p.Seed, call.Sum64())); draw.Float64() < r.Rate {
			failed[i]++
			return r.Fault, draw.Uint64()
		}
	}
	return 0, 0
}
