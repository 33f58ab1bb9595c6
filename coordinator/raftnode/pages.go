package raftnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// Parts of a bbolt file. The library trusts them: it panics on a damaged page, or
// falls back to the transaction before without a word.
const (
	pageHeaderBytes = 16
	elementBytes    = 16
	metaBytes       = 64
	bucketBytes     = 16

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10

	boltMagic   = 0xED0CDAED
	boltVersion = 2
	maxPageSize = 1 << 24
	maxDepth    = 32 // of pages; each level multiplies the entries by dozens
)

// boltFile reads the pages of a bbolt file and trusts nothing in them.
type boltFile struct {
	file     io.ReaderAt
	pageSize uint64
	pages    uint64 // in use or free, the two meta pages among them
	seen     map[uint64]bool
	each     func(bucket string, key, value []byte) error
}

// walkBolt checks the structure of a bbolt file whole and hands each value of its
// buckets to each, in order of buckets and keys. A damaged byte is an error,
// changes a value that is handed out, or is in a place that is never read.
func walkBolt(file io.ReaderAt, sizeBytes int64, each func(bucket string, key, value []byte) error) error {
	if sizeBytes == 0 {
		return errors.New("the file is empty")
	}
	b := &boltFile{file: file, seen: make(map[uint64]bool), each: each}
	root, free, err := b.meta(uint64(sizeBytes))
	if err != nil {
		return err
	}
	if err := b.walk(root, "", nil, nil, maxDepth); err != nil {
		return err
	}
	return b.free(free)
}

// meta reads both meta pages. They are written in turn, each within one sector of
// the disk, so both are whole after any crash; the newer one counts.
func (b *boltFile) meta(fileBytes uint64) (root, free uint64, err error) {
	var newest uint64
	for i := range uint64(2) {
		data := make([]byte, pageHeaderBytes+metaBytes)
		if _, err := b.file.ReadAt(data, int64(i*b.pageSize)); err != nil {
			return 0, 0, fmt.Errorf("meta page %d: %w", i, err)
		}
		header, m := data[:pageHeaderBytes], data[pageHeaderBytes:]
		u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(m[at:]) }
		u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(m[at:]) }
		sum := fnv.New64a()
		sum.Write(m[:metaBytes-8])
		size := uint64(u32(8))
		if sum.Sum64() != u64(56) || u32(0) != boltMagic || u32(4) != boltVersion || size < 512 || size > maxPageSize || i > 0 && size != b.pageSize ||
			binary.NativeEndian.Uint64(header) != i || binary.NativeEndian.Uint16(header[8:]) != metaPage {
			return 0, 0, fmt.Errorf("meta page %d is damaged", i)
		}
		b.pageSize = size
		if tx := u64(48); i == 0 || tx > newest {
			newest, root, free, b.pages = tx, u64(16), u64(32), u64(40)
		}
	}
	if have := fileBytes / b.pageSize; have < b.pages {
		return 0, 0, fmt.Errorf("the file is cut off: %d of its %d pages are there", have, b.pages)
	}
	return root, free, nil
}

// page reads a page with all that overflows it, once.
func (b *boltFile) page(id uint64) (flags uint16, count uint64, data []byte, err error) {
	header := make([]byte, pageHeaderBytes)
	if id < 2 || id >= b.pages {
		return 0, 0, nil, fmt.Errorf("page %d is none of %d", id, b.pages)
	}
	if _, err := b.file.ReadAt(header, int64(id*b.pageSize)); err != nil {
		return 0, 0, nil, err
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if binary.NativeEndian.Uint64(header) != id || id+overflow >= b.pages {
		return 0, 0, nil, fmt.Errorf("the header of page %d is damaged", id)
	}
	for i := id; i <= id+overflow; i++ {
		if b.seen[i] {
			return 0, 0, nil, fmt.Errorf("page %d is used twice", i)
		}
		b.seen[i] = true
	}
	data = make([]byte, (1+overflow)*b.pageSize)
	_, err = b.file.ReadAt(data, int64(id*b.pageSize))
	return binary.NativeEndian.Uint16(header[8:]), uint64(binary.NativeEndian.Uint16(header[10:])), data, err
}

// walk reads the tree of pages below id, whose keys are from low on and below
// high; nil is no bound. In the root bucket, whose name is empty, values are
// buckets.
func (b *boltFile) walk(id uint64, bucket string, low, high []byte, depth int) error {
	flags, count, data, err := b.page(id)
	if err != nil {
		return err
	}
	switch {
	case flags == leafPage:
		return b.leaf(id, bucket, data, count, low, high)
	case flags != branchPage || count == 0 || depth == 0:
		return fmt.Errorf("the header of page %d is damaged", id)
	}
	keys, children := make([][]byte, count+1), make([]uint64, count)
	for i := range count {
		at := pageHeaderBytes + i*elementBytes
		if at+elementBytes > uint64(len(data)) {
			return fmt.Errorf("page %d is damaged", id)
		}
		pos, size := binary.NativeEndian.Uint32(data[at:]), binary.NativeEndian.Uint32(data[at+4:])
		children[i] = binary.NativeEndian.Uint64(data[at+8:])
		if keys[i], err = within(data, at+uint64(pos), uint64(size), count); err != nil {
			return fmt.Errorf("page %d: key %d of %d: %w", id, i, count, err)
		}
		if !ordered(low, keys[i], high) || i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return fmt.Errorf("page %d: key %d of %d is out of order", id, i, count)
		}
	}
	keys[count] = high
	for i, child := range children {
		if err := b.walk(child, bucket, keys[i], keys[i+1], depth-1); err != nil {
			return err
		}
	}
	return nil
}

// leaf hands out the values of a leaf page, or walks the buckets in it.
func (b *boltFile) leaf(id uint64, bucket string, data []byte, count uint64, low, high []byte) error {
	var before []byte
	for i := range count {
		at := pageHeaderBytes + i*elementBytes
		if at+elementBytes > uint64(len(data)) {
			return fmt.Errorf("page %d is damaged", id)
		}
		u32 := func(n uint64) uint64 { return uint64(binary.NativeEndian.Uint32(data[at+n:])) }
		kind, pos, size := u32(0), at+u32(4), u32(8)
		key, err := within(data, pos, size, count)
		if err != nil {
			return fmt.Errorf("page %d: key %d of %d: %w", id, i, count, err)
		}
		value, err := within(data, pos+size, u32(12), count)
		if err != nil {
			return fmt.Errorf("page %d: value %d of %d: %w", id, i, count, err)
		}
		switch {
		case !ordered(low, key, high) || i > 0 && bytes.Compare(before, key) >= 0:
			err = fmt.Errorf("page %d: key %d of %d is out of order", id, i, count)
		case bucket != "" && kind == 0:
			err = b.each(bucket, key, value)
		case bucket == "" && kind == 1 && len(key) > 0:
			err = b.bucket(id, string(key), value)
		default:
			err = fmt.Errorf("page %d: element %d of %d is damaged", id, i, count)
		}
		if err != nil {
			return err
		}
		before = key
	}
	return nil
}

// bucket walks a bucket: a tree of its own, or a leaf page within the value.
func (b *boltFile) bucket(id uint64, name string, value []byte) error {
	if len(value) < bucketBytes || binary.NativeEndian.Uint64(value[8:]) != 0 {
		return fmt.Errorf("page %d: bucket %q is damaged", id, name)
	}
	root, inline := binary.NativeEndian.Uint64(value), value[bucketBytes:]
	switch {
	case root != 0 && len(inline) == 0:
		return b.walk(root, name, nil, nil, maxDepth)
	case root == 0 && len(inline) >= pageHeaderBytes && binary.NativeEndian.Uint16(inline[8:]) == leafPage:
		return b.leaf(id, name, inline, uint64(binary.NativeEndian.Uint16(inline[10:])), nil, nil)
	}
	return fmt.Errorf("page %d: bucket %q is damaged", id, name)
}

// free checks that each page is in use or free, and none both: a page that is
// wrongly free would be written over.
func (b *boltFile) free(id uint64) error {
	flags, count, data, err := b.page(id)
	if err != nil {
		return err
	}
	at := uint64(pageHeaderBytes)
	if count == 0xFFFF { // more than the header can say
		count, at = binary.NativeEndian.Uint64(data[at:]), at+8
	}
	if flags != freelistPage || count > (uint64(len(data))-at)/8 || uint64(len(b.seen))+count+2 != b.pages {
		return fmt.Errorf("the list of free pages, page %d, is damaged", id)
	}
	for i := range count {
		page := binary.NativeEndian.Uint64(data[at+8*i:])
		if page < 2 || page >= b.pages || b.seen[page] {
			return fmt.Errorf("the list of free pages, page %d, is damaged: page %d is in use or none", id, page)
		}
		b.seen[page] = true
	}
	return nil
}

var errOutside = errors.New("it lies outside of its page")

// within returns the bytes of a page from at on, which lie behind its elements.
func within(page []byte, at, size, elements uint64) ([]byte, error) {
	if at < pageHeaderBytes+elements*elementBytes || at > uint64(len(page)) || size > uint64(len(page))-at {
		return nil, errOutside
	}
	return page[at : at+size : at+size], nil
}

func ordered(low, key, high []byte) bool {
	return bytes.Compare(low, key) <= 0 && (high == nil || bytes.Compare(key, high) < 0)
}
