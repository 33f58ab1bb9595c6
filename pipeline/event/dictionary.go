package event

import (
	"encoding/binary"
	"hash/maphash"
	"math/rand/v2"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

const (
	minSlots = 1 << 8
	// maxKeptSlots bounds the hash table that is kept from batch to batch, 1 MiB
	// a column; a batch with more distinct words gets a larger one for itself.
	maxKeptSlots = 1 << 16
	// maxGuess bounds the bytes of words that a batch begins with room for.
	maxGuess = 1 << 20
)

// hashSeed makes the hash of words unforeseeable, so that no producer can pick
// words that collide. It has no bearing on the result.
type hashSeed struct {
	long  maphash.Seed
	short uint64 // odd: multiply-shift by a random odd number is universal
}

func newHashSeed() hashSeed {
	return hashSeed{long: maphash.MakeSeed(), short: rand.Uint64() | 1}
}

// dictionary collects the distinct words of one column of one batch, in order
// of first appearance. Each batch starts afresh: its dictionary has no word
// that its rows do not use (rejected ones aside), so that work done per word is
// never more than work done per row.
type dictionary struct {
	seed  hashSeed
	slots []slot // open addressing, a power of two; a slot of an older batch is free
	shift uint   // 64 - log2(len(slots))
	batch uint32

	// The words of this batch. finish hands the memory to the Arrow array.
	ends  []int32 // ends[0] is 0, word i is bytes[ends[i]:ends[i+1]]
	bytes []byte
	// How many words the batch before had, and their bytes.
	words, size int
}

type slot struct {
	key   uint64 // the word itself up to 8 bytes, else its hash
	batch uint32
	id    int32
}

func newDictionary(seed hashSeed) dictionary { return dictionary{seed: seed} }

// begin starts a batch.
func (d *dictionary) begin() {
	d.batch++
	if d.batch == 0 || len(d.slots) == 0 || len(d.slots) > maxKeptSlots {
		d.batch = 1
		d.resize(minSlots)
	}
	words, size := min(max(d.words, 16), maxKeptSlots), min(max(d.size, 64), maxGuess) // the last batch is the best guess
	d.ends = append(make([]int32, 0, words), 0)
	d.bytes = make([]byte, 0, size)
}

func (d *dictionary) resize(n int) {
	d.slots = make([]slot, n)
	d.shift = 64
	for ; n > 1; n >>= 1 {
		d.shift--
	}
}

// add returns the position of word, which is kept if it is new.
func (d *dictionary) add(word []byte) int32 {
	if len(word) <= 8 {
		return d.addShort(loadShort(word), len(word))
	}
	return d.addLong(word)
}

// loadShort returns the up to 8 bytes of word, little endian, zero padded.
func loadShort(word []byte) uint64 {
	if len(word) == 8 {
		return binary.LittleEndian.Uint64(word)
	}
	var key uint64
	for i := len(word) - 1; i >= 0; i-- {
		key = key<<8 | uint64(word[i])
	}
	return key
}

// addShort is add for a word of n <= 8 bytes, given as loadShort does.
func (d *dictionary) addShort(key uint64, n int) int32 {
	mask := len(d.slots) - 1
	for i := int(((key ^ uint64(n)<<56) * d.seed.short) >> d.shift); ; i = (i + 1) & mask {
		s := &d.slots[i]
		if s.batch != d.batch {
			var word [8]byte
			binary.LittleEndian.PutUint64(word[:], key)
			return d.insert(s, key, word[:n])
		}
		if s.key == key && int(d.ends[s.id+1]-d.ends[s.id]) == n {
			return s.id
		}
	}
}

func (d *dictionary) addLong(word []byte) int32 {
	key := maphash.Bytes(d.seed.long, word)
	mask := len(d.slots) - 1
	for i := int(key >> d.shift); ; i = (i + 1) & mask {
		s := &d.slots[i]
		if s.batch != d.batch {
			return d.insert(s, key, word)
		}
		if s.key == key && string(d.word(s.id)) == string(word) {
			return s.id
		}
	}
}

func (d *dictionary) word(id int32) []byte { return d.bytes[d.ends[id]:d.ends[id+1]] }

func (d *dictionary) insert(s *slot, key uint64, word []byte) int32 {
	id := int32(len(d.ends) - 1)
	*s = slot{key: key, batch: d.batch, id: id}
	d.bytes = append(d.bytes, word...)
	d.ends = append(d.ends, int32(len(d.bytes)))
	if 2*len(d.ends) > len(d.slots) {
		d.grow()
	}
	return id
}

func (d *dictionary) grow() {
	old := d.slots
	d.resize(2 * len(old))
	mask := len(d.slots) - 1
	for _, s := range old {
		if s.batch != d.batch {
			continue
		}
		hash := s.key
		if n := d.ends[s.id+1] - d.ends[s.id]; n <= 8 {
			hash = (s.key ^ uint64(n)<<56) * d.seed.short
		}
		i := int(hash >> d.shift)
		for d.slots[i].batch == d.batch {
			i = (i + 1) & mask
		}
		d.slots[i] = s
	}
}

// finish returns the words as an Arrow array.
func (d *dictionary) finish() arrow.Array {
	n := len(d.ends) - 1
	data := array.NewData(arrow.BinaryTypes.String, n, []*memory.Buffer{
		nil,
		memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(d.ends)),
		memory.NewBufferBytes(d.bytes),
	}, nil, 0, 0)
	a := array.MakeFromData(data)
	data.Release()
	d.words, d.size = len(d.ends), len(d.bytes)
	d.ends, d.bytes = nil, nil // an idle stream holds none
	return a
}
