package train

import "math/bits"

// golden is 2^64 divided by the golden ratio, the increment of SplitMix64.
const golden = 0x9e3779b97f4a7c15

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection
// in which every bit of the result depends on every bit of x.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// rowID returns the hash by which the ledger knows a row. Rows of one shard
// never share one.
func rowID(shard int, row int64) uint64 {
	return mix(mix(uint64(shard)+golden) + uint64(row))
}

// shuffleKey returns what the rows of a replica are sorted by: a row's place
// depends on its identity and the seed, not on when it was read.
func shuffleKey(id, seed uint64) uint64 { return mix(id ^ mix(seed+golden)) }

// permutation fills order with a permutation of its indices that depends on
// the seed only (Fisher and Yates, over SplitMix64). It is written out because
// the library's may change with its version.
func permutation(order []int, seed uint64) {
	for i := range order {
		order[i] = i
	}
	state := mix(seed)
	for i := len(order) - 1; i > 0; i-- {
		state += golden
		// The high half of the product is below i+1; it favours no value by more
		// than one part in 2^64/(i+1).
		j, _ := bits.Mul64(mix(state), uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
}

// epochSeed returns the seed of a replica's order of blocks in an epoch.
func epochSeed(seed uint64, replica, epoch int) uint64 {
	return mix(mix(seed)+uint64(replica)) + uint64(epoch)
}

// stepSeed returns what a replica's step with one block of an epoch draws from.
func stepSeed(seed uint64, replica, epoch, block int) uint64 {
	return mix(epochSeed(seed, replica, epoch) + uint64(block)*golden)
}
