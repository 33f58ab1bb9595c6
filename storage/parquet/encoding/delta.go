package encoding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// maxDeltaBlock bounds the values of a block of DELTA_BINARY_PACKED. Writers
// use 128; nothing is allocated by it, the bound keeps products from overflowing.
const maxDeltaBlock = 1 << 24

// deltaStep is the values unpacked at a time.
const deltaStep = 128

// Delta decodes DELTA_BINARY_PACKED integers.
type Delta struct {
	data  []byte // from the next block, or within one from the next miniblock
	total int    // values of the whole sequence
	left  int    // values not yet returned

	minis, perMini int
	last           int64
	begun          bool // the first value, which is in the header, was returned

	minDelta int64
	widths   []byte // of the block's miniblocks after the current one
	mini     []byte // the current miniblock and what follows it
	width    uint
	bit      int
	miniLeft int

	deltas [deltaStep]uint64
}

// Reset makes d decode data.
func (d *Delta) Reset(data []byte) error {
	d.data, d.total, d.left, d.begun = nil, 0, 0, false
	d.widths, d.mini, d.miniLeft = nil, nil, 0
	var header [3]uint64
	for i := range header {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return errTruncated
		}
		header[i], data = v, data[n:]
	}
	block, minis, total := header[0], header[1], header[2]
	if block == 0 || block > maxDeltaBlock || minis == 0 || minis > block || block%minis != 0 || block/minis%8 != 0 {
		return fmt.Errorf("delta blocks of %d values in %d parts", block, minis)
	}
	if total > math.MaxInt32 {
		return fmt.Errorf("%d delta values in a page", total)
	}
	first, n := binary.Varint(data)
	if n <= 0 {
		return errTruncated
	}
	d.minis, d.perMini = int(minis), int(block/minis)
	d.total, d.left, d.last = int(total), int(total), first
	d.data = data[n:]
	return nil
}

// Total returns the values of the whole sequence.
func (d *Delta) Total() int { return d.total }

// Read decodes len(dst) values.
func (d *Delta) Read(dst []int64) error {
	if len(dst) > d.left {
		return errTruncated
	}
	d.left -= len(dst)
	if len(dst) > 0 && !d.begun {
		dst[0], d.begun = d.last, true
		dst = dst[1:]
	}
	for len(dst) > 0 {
		if d.miniLeft == 0 {
			if err := d.nextMini(); err != nil {
				return err
			}
		}
		n := min(len(dst), d.miniLeft, deltaStep)
		if d.bit+n*int(d.width) > len(d.mini)*8 {
			return errTruncated
		}
		deltas := d.deltas[:n]
		Unpack(deltas, d.mini, d.bit, d.width)
		last, minDelta := d.last, d.minDelta
		for i, delta := range deltas {
			last += minDelta + int64(delta)
			dst[i] = last
		}
		d.last = last
		d.bit += n * int(d.width)
		d.miniLeft -= n
		dst = dst[n:]
	}
	return nil
}

// nextMini goes to the next miniblock, of the next block if need be.
func (d *Delta) nextMini() error {
	if len(d.widths) == 0 {
		minDelta, n := binary.Varint(d.data)
		if n <= 0 || d.minis > len(d.data)-n {
			return errTruncated
		}
		d.minDelta = minDelta
		d.widths = d.data[n : n+d.minis]
		d.data = d.data[n+d.minis:]
	}
	d.width = uint(d.widths[0])
	d.widths = d.widths[1:]
	if d.width > 64 {
		return errBitWidth
	}
	// The last miniblock may be cut short; whether it suffices shows when its
	// values are read.
	d.mini, d.bit, d.miniLeft = d.data, 0, d.perMini
	d.data = d.data[min(d.perMini/8*int(d.width), len(d.data)):]
	return nil
}

// After walks the sequence, without decoding it, and returns what follows it.
// It is for a Delta just reset.
func (d *Delta) After() ([]byte, error) {
	walk := *d
	for left := d.total - 1; left > 0; left -= d.perMini {
		if err := walk.nextMini(); err != nil {
			return nil, err
		}
		if walk.perMini/8*int(walk.width) > len(walk.mini) {
			return nil, errTruncated
		}
	}
	return walk.data, nil
}

var errDeltaCount = errors.New("delta sequences of different lengths")
