package guard

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// allocated returns how many bytes do allocates.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestFilesThatClaimTooMuchAreRefused(t *testing.T) {
	footer := func(thrift ...byte) []byte {
		body := append([]byte("PAR1"), thrift...)
		return append(binary.LittleEndian.AppendUint32(body, uint32(len(thrift))), "PAR1"...)
	}
	many := []byte{0xff, 0xff, 0xff, 0xff, 0x07} // 2^31 - 1
	for name, body := range map[string][]byte{
		"no footer":        []byte("PAR1PAR1"),
		"nothing":          nil,
		"a list of a 2^31": footer(append([]byte{0x29, 0xfc}, many...)...), // SchemaElements
		"nested lists":     footer(append([]byte{0x29}, bytes.Repeat([]byte{0x19}, 1000)...)...),
		"nested structs":   footer(bytes.Repeat([]byte{0x1c}, 1000)...),
		"cut off":          footer(0x15),
		"a long string":    footer(append([]byte{0x18}, many...)...),
	} {
		n := allocated(func() {
			if _, err := Open(body); err == nil {
				t.Errorf("%s: is read", name)
			}
		})
		if n > 1<<20 {
			t.Errorf("%s: refusing it allocates %d bytes", name, n)
		}
	}
	// PageHeader {type 0, uncompressed, compressed, data_page_header {num_values}}
	page := func(expanded, packed, values uint64) []byte {
		zigzag := func(v uint64) []byte { return binary.AppendUvarint(nil, v*2) }
		return slices.Concat([]byte{0x15, 0}, []byte{0x15}, zigzag(expanded), []byte{0x15}, zigzag(packed), []byte{0x2c, 0x15}, zigzag(values), []byte{0, 0, 'x', 'y'})
	}
	if _, rest, err := headerOf(page(100, 1, 10)); err != nil || string(rest) != "xy" {
		t.Error(rest, err)
	}
	// The same with encodings of values and levels (RLE), and with statistics, which
	// are a field of the same number as the header that they are in.
	h, rest, err := headerOf([]byte{0x15, 0, 0x15, 20, 0x15, 2, 0x2c, 0x15, 10, 0x15, 0, 0x15, 6, 0x15, 6, 0x1c, 0x36, 0, 0, 0, 0, 'x'})
	if err != nil || string(rest) != "x" || h.Values != 5 || h.RepEncoding != format.RLE || h.DefEncoding != format.RLE {
		t.Errorf("%+v, %q, %v", h, rest, err)
	}
	for _, p := range [][]byte{page(100, 3, 10), page(1<<30+1, 2, 10), page(1<<20, 2, 10), page(100, 2, 1<<27)} {
		if _, _, err := headerOf(p); err == nil {
			t.Errorf("%x is a page", p)
		}
	}
	if checkRuns([]byte{3, 0xff, 20, 7}, 1, 12) != nil { // 8 bits, 10 times the same
		t.Error("good runs are refused")
	}
	for _, runs := range [][]byte{{0xfe, 0xff, 0xff, 0xff, 0x0f, 1}, {3}, {21, 1}, {60, 1}} {
		if checkRuns(runs, 1, 12) == nil {
			t.Errorf("%x are runs of 12 values", runs)
		}
	}
}

func TestAPageThatSaysToInflateBeyondItsHeaderIsRefused(t *testing.T) {
	type row struct{ N int64 }
	var file bytes.Buffer
	w := parquet.NewGenericWriter[row](&file, parquet.Compression(&parquet.Snappy))
	if _, err := w.Write(make([]row, 100)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	opened, err := Open(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	c := pageChecker{leaf: opened.Root().Columns()[0]}
	body := append(binary.AppendUvarint(nil, 1<<31), 0, 'x')
	n := allocated(func() {
		if _, err := c.expand(body, 1<<20); err == nil {
			t.Error("it is read")
		}
	})
	if n > 2<<20 {
		t.Errorf("refusing it allocates %d bytes", n)
	}
}
