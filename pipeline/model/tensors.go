package model

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/kernel"
)

// maxTensorHeader bounds the header of a safetensors file: far above what the
// views of any model need.
const maxTensorHeader = 16 << 20

// tensorHeader is one entry of the header of a safetensors file.
type tensorHeader struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// EncodeTensors writes a vector in the safetensors layout
// (https://github.com/huggingface/safetensors): the length of a JSON header as
// 8 bytes, the header with one entry per view and the metadata, which may be nil,
// under __metadata__, padded with spaces to a multiple of 8, then the elements as
// little-endian float32. The views must cover the vector as those of a Model do.
// Equal input gives equal bytes.
func EncodeTensors(metadata map[string]string, views []View, vector []float32) []byte {
	header := []byte{'{'}
	if len(metadata) > 0 {
		header = fmt.Appendf(header, `"__metadata__":%s,`, text(metadata)) // in the order of its keys
	}
	next := 0
	for i, v := range views {
		if v.Offset != next {
			panic(fmt.Sprintf("model: view %s begins at %d, not %d", v.Name, v.Offset, next))
		}
		next += v.Size()
		if i > 0 {
			header = append(header, ',')
		}
		offsets := [2]int64{int64(v.Offset) * 4, int64(next) * 4}
		header = fmt.Appendf(header, "%s:%s", text(v.Name), text(tensorHeader{"F32", append([]int{}, v.Shape...), offsets}))
	}
	if next != len(vector) {
		panic(fmt.Sprintf("model: the views cover %d of %d elements", next, len(vector)))
	}
	header = append(header, '}')
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	out := make([]byte, 0, 8+len(header)+4*len(vector))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(header)))
	out = append(out, header...)
	return kernel.AppendFloats(out, vector)
}

// text returns the JSON form of what always has one.
func text(v any) []byte {
	encoded, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return encoded
}

// TensorMetadata returns the text under __metadata__ of a safetensors file; none
// is no error.
func TensorMetadata(data []byte) (map[string]string, error) {
	_, header, err := splitTensors(data)
	if err != nil {
		return nil, err
	}
	raw, ok := header["__metadata__"]
	if !ok {
		return nil, nil
	}
	var metadata map[string]string
	if err := json.Unmarshal(raw, &metadata); err != nil {
		return nil, corruptTensors("metadata: %w", err)
	}
	return metadata, nil
}

// splitTensors returns the bytes of the elements and the header's entries.
func splitTensors(data []byte) (body []byte, header map[string]json.RawMessage, err error) {
	if len(data) < 8 {
		return nil, nil, corruptTensors("%d bytes are no safetensors file", len(data))
	}
	size := binary.LittleEndian.Uint64(data)
	if size > maxTensorHeader || size > uint64(len(data)-8) {
		return nil, nil, corruptTensors("a header of %d bytes in a file of %d", size, len(data))
	}
	if err := json.Unmarshal(data[8:8+size], &header); err != nil {
		return nil, nil, corruptTensors("header: %w", err)
	}
	return data[8+size:], header, nil
}

func corruptTensors(format string, args ...any) error {
	return &thalweg.Error{Op: "decode tensors", Kind: thalweg.Corrupt, Err: fmt.Errorf(format, args...)}
}

// DecodeTensors reads what EncodeTensors wrote. The file must hold exactly the
// given views, as float32 of the views' shapes, in whatever order; anything else
// is Corrupt and names the view.
func DecodeTensors(views []View, data []byte) ([]float32, error) {
	corrupt := corruptTensors
	body, header, err := splitTensors(data)
	if err != nil {
		return nil, err
	}
	delete(header, "__metadata__")
	if len(header) != len(views) {
		return nil, corrupt("%d tensors, want %d", len(header), len(views))
	}
	total := 0
	for _, v := range views {
		total += v.Size()
	}
	if len(body) != 4*total {
		return nil, corrupt("%d bytes of elements, want %d", len(body), 4*total)
	}
	vector := make([]float32, total)
	spans := make([][2]int64, 0, len(views))
	for _, v := range views {
		raw, ok := header[v.Name]
		if !ok {
			return nil, corrupt("tensor %q is missing", v.Name)
		}
		var h tensorHeader
		if err := thalweg.DecodeStrict(raw, &h); err != nil {
			return nil, corrupt("tensor %q: %w", v.Name, err)
		}
		from, to := h.Offsets[0], h.Offsets[1]
		if h.DType != "F32" || !slices.Equal(h.Shape, v.Shape) || from < 0 || to > int64(len(body)) || to-from != int64(4*v.Size()) {
			return nil, corrupt("tensor %q is %s %v at [%d, %d), want F32 %v", v.Name, h.DType, h.Shape, from, to, v.Shape)
		}
		spans = append(spans, h.Offsets)
		kernel.DecodeFloats(v.Of(vector), body[from:to])
	}
	// Every byte belongs to exactly one tensor, as the format demands.
	slices.SortFunc(spans, func(a, b [2]int64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	next := int64(0)
	for _, s := range spans {
		if s[0] != next {
			return nil, corrupt("tensors overlap at byte %d", s[0])
		}
		next = s[1]
	}
	return vector, nil
}
