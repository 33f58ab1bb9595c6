package fault

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
)

// Op is a set of the operations of a connectors.Source.
type Op uint8

// The operations.
const (
	Topic  Op = 1 << iota // connectors.Source.Topic
	Bounds                // connectors.Source.Bounds
	Fetch                 // connectors.Source.Fetch
	Commit                // connectors.Source.Commit

	Any = Topic | Bounds | Fetch | Commit
)

var opNames = [...]string{"topic", "bounds", "fetch", "commit"}

// String names a single operation.
func (o Op) String() string { return opNames[bits.TrailingZeros8(uint8(o))] }

// Fault is a way for an operation to go wrong.
type Fault uint8

// The faults. As in life, an Unavailable error does not tell which it was.
const (
	Unavailable Fault = iota + 1 // any: the brokers do not answer
	Slow                         // any: the answer takes its time
	Truncated                    // Fetch: the answer ends after some of its records
	Flipped                      // Fetch: a batch's checksum is not that of its bytes (Corrupt)
	Stale                        // Topic, Bounds: the answer is the one that was given last time
	Duplicate                    // Fetch: the answer begins with records from before the offset asked for
	LostReply                    // Commit: it takes effect, the reply is lost
	Late                         // Commit: it takes effect after the next one
)

var faultNames = [...]string{"none", "unavailable", "slow", "truncated", "flipped", "stale", "duplicate", "lost reply", "late"}

func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return faultNames[0]
}

// applies returns the operations that can go wrong in this way.
func (f Fault) applies() Op {
	switch f {
	case Truncated, Flipped, Duplicate:
		return Fetch
	case Stale:
		return Topic | Bounds
	case LostReply, Late:
		return Commit
	}
	return Any
}

// Rule makes chosen calls go wrong.
type Rule struct {
	Fault Fault
	Ops   Op      // which operations; 0: all that can go wrong in this way
	Rate  float64 // share of the calls, 0..1
	Times int     // so many of a partition's calls of one operation at most; 0: no bound
}

// Plan says which calls go wrong and how. Whether the n-th call of an operation
// on a partition does follows from Seed, the partition and n alone, so a plan
// means the same however goroutines interleave.
type Plan struct {
	Seed  uint64
	Rules []Rule // the first that hits decides
}

// Chaos returns a plan in which each fault in turn hits at the given rate;
// Flipped and Duplicate, of which a reader bears only so many in a row, hit each
// partition twice at most.
func Chaos(seed uint64, rate float64) Plan {
	p := Plan{Seed: seed}
	for f := Unavailable; int(f) < len(faultNames); f++ {
		r := Rule{Fault: f, Rate: rate}
		if f == Flipped || f == Duplicate {
			r.Times = 2
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// decide returns the fault of the n-th call (from 0) of op on a partition, and
// random bits for its details. failed counts, per rule, those so far.
func (p Plan) decide(op Op, partition, n int, failed []int) (Fault, uint64) {
	for i, r := range p.Rules {
		ops := r.Ops
		if ops == 0 {
			ops = Any
		}
		if ops&r.Fault.applies()&op == 0 || r.Times > 0 && failed[i] >= r.Times {
			continue
		}
		call := fnv.New64a()
		fmt.Fprintf(call, "%d/%d/%d/%d", i, op, n, partition)
		if draw := rand.New(rand.NewPCG(p.Seed, call.Sum64())); draw.Float64() < r.Rate {
			failed[i]++
			return r.Fault, draw.Uint64()
		}
	}
	return 0, 0
}
