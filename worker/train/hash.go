package train

import (
	"math/bits"

	"github.com/thalweg/thalweg/pipeline/kernel"
)

// rowID returns the hash by which a row is known: the ledger adds it up, and the rows of a replica
// are sorted by it, so that a row's place depends on its identity and the seed and not on when it was
// read. Rows of one shard, whose ID is given, never share one.
func rowID(shard uint64, row int64) uint64 { return kernel.Mix(shard + uint64(row)) }

// shardID is what the IDs of a shard's rows have in common in a job of a seed.
func shardID(seed uint64, shard int) uint64 {
	return kernel.Mix(kernel.Mix(seed+kernel.Golden) + uint64(shard)*kernel.Golden)
}

// permutation fills order with a permutation of its indices that depends on
// the seed only (Fisher and Yates, over SplitMix64). It is written out because
// the library's may change with its version.
func permutation(order []int, seed uint64) {
	for i := range order {
		order[i] = i
	}
	state := kernel.Mix(seed)
	for i := len(order) - 1; i > 0; i-- {
		state += kernel.Golden
		// The high half of the product is below i+1; it favours no value by more
		// than one part in 2^64/(i+1).
		j, _ := bits.Mul64(kernel.Mix(state), uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
}

// epochSeed returns the seed of a replica's order of blocks in an epoch.
func epochSeed(seed uint64, replica, epoch int) uint64 {
	return kernel.Mix(kernel.Mix(seed)+uint64(replica)) + uint64(epoch)
}

// stepSeed returns what a replica's step with one block of an epoch draws from.
func stepSeed(seed uint64, replica, epoch, block int) uint64 {
	return kernel.Mix(epochSeed(seed, replica, epoch) + uint64(block)*kernel.Golden)
}
