// Package rollout is how a new version of a model takes over from the one before step by step:
// which of the two scores an event, what is counted of both, and what is judged by these
// counts. It is the vocabulary of specs, of the state and of workers; it knows none of them.
package rollout

import "encoding/binary"

// The arms of a rollout.
const (
	Champion = iota // the version that the alias names
	Candidate
	Arms
)

// ArmName is what users call an arm.
func ArmName(arm int) string { return [Arms]string{"champion", "candidate"}[arm] }

// Hash is of the value that decides on an arm. The same salt and value give the same hash, on
// any worker and in any build.
type Hash uint64

// FNV-1a, whose last step does not reach all bits; finish mixes them.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// NewHash begins a hash with the salt of a rollout, so that another rollout has other events.
func NewHash(salt string) Hash {
	return Hash(fnvOffset).Text(salt)
}

// Text adds a text, and where it ends.
func (h Hash) Text(s string) Hash {
	for i := range len(s) {
		h = (h ^ Hash(s[i])) * fnvPrime
	}
	return (h ^ 0xff) * fnvPrime // in no text of UTF-8
}

// Bytes adds some bytes, and where they end.
func (h Hash) Bytes(b []byte) Hash { return h.Text(string(b)) }

// Number adds the bits of a number.
func (h Hash) Number(v uint64) Hash {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	for _, c := range b {
		h = (h ^ Hash(c)) * fnvPrime
	}
	return h
}

// Arm returns which arm scores what was hashed, where the candidate has a share in percent.
// What a smaller share has is of a larger one too.
func (h Hash) Arm(percent uint32) int {
	x := uint64(h) // the finalizer of MurmurHash3
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	if x%100 < uint64(percent) {
		return Candidate
	}
	return Champion
}
