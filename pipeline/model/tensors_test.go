package model_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/model"
)

// small are views of a vector of seven elements.
var small = []model.View{
	{Name: "a.weight", Shape: []int{2, 3}},
	{Name: "b", Shape: []int{1}, Offset: 6, Bias: true},
}

func TestTensorsComeBackBitForBit(t *testing.T) {
	vector := []float32{0, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(-1)), 3, 7}
	data := model.EncodeTensors(nil, small, vector)
	if len(data)%8 != 4 { // 7 elements of 4 bytes after a padded header
		t.Errorf("the elements of a file of %d bytes are not aligned", len(data))
	}
	back, err := model.DecodeTensors(small, data)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back, vector) {
		t.Errorf("%v became %v", vector, back)
	}
	if !slices.Equal(data, model.EncodeTensors(nil, small, vector)) {
		t.Error("equal vectors, other bytes")
	}
	headerSize := int(data[0]) | int(data[1])<<8
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets []int  `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+headerSize], &header); err != nil {
		t.Fatal(err)
	}
	if h := header["a.weight"]; h.DType != "F32" || !slices.Equal(h.Shape, []int{2, 3}) || !slices.Equal(h.Offsets, []int{0, 24}) {
		t.Errorf("header %+v", header)
	}
}

func TestDecodeTensorsRefusesWhatIsNotTheViews(t *testing.T) {
	good := string(model.EncodeTensors(nil, small, make([]float32, 7)))
	for _, edit := range [][2]string{
		{"F32", "F16"}, {"[2,3]", "[3,2]"}, {"[0,24]", "[4,28]"}, {"[24,28]", "[20,24]"}, {"[24,28]", "[24,99]"}, {"[0,24]", "[-4,20]"},
		{"a.weight", "c.weight"}, {`"dtype"`, `"btype"`}, {"{", "["},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if _, err := model.DecodeTensors(small, []byte(bad)); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s instead of %s: error %v", edit[1], edit[0], err)
		}
	}
	for n := range len(good) {
		if _, err := model.DecodeTensors(small, []byte(good[:n])); !thalweg.Is(err, thalweg.Corrupt) {
			t.Fatalf("the first %d bytes: error %v", n, err)
		}
	}
	if _, err := model.DecodeTensors(small[:1], []byte(good)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("a tensor too many: error %v", err)
	}
}

func TestMetadataComesBackBesideTheTensors(t *testing.T) {
	vector := []float32{1, 2, 3, 4, 5, 6, 7}
	data := model.EncodeTensors(map[string]string{"model": "linear", "a": "<b>"}, small, vector)
	metadata, err := model.TensorMetadata(data)
	if err != nil || len(metadata) != 2 || metadata["model"] != "linear" || metadata["a"] != "<b>" {
		t.Errorf("metadata %v, error %v", metadata, err)
	}
	if back, err := model.DecodeTensors(small, data); err != nil || !slices.Equal(back, vector) {
		t.Errorf("%v became %v, error %v", vector, back, err)
	}
	if metadata, err := model.TensorMetadata(model.EncodeTensors(nil, small, vector)); err != nil || metadata != nil {
		t.Errorf("metadata %v of a file without, error %v", metadata, err)
	}
	bad := strings.Replace(string(data), `"linear"`, `1234.567`, 1)
	if bad == string(data) {
		t.Fatal("nothing was changed")
	}
	if _, err := model.TensorMetadata([]byte(bad)); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("metadata that is not text: error %v", err)
	}
}

func FuzzDecodeTensors(f *testing.F) {
	f.Add(model.EncodeTensors(nil, small, []float32{1, 2, 3, 4, 5, 6, 7}))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		vector, err := model.DecodeTensors(small, data)
		if err == nil && len(vector) != 7 {
			t.Fatalf("%d elements", len(vector))
		}
	})
}
