package artifact

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/calibration"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/conformal"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// sure is document with sets of labels or intervals.
var sure = strings.Replace(document, "  output_features:", "  model: {type: linear, uncertainty: {type: conformal, coverage: 0.8}}\n  output_features:", 1)

const calibrated = `{name: delayed, type: binary, expression: "delay > 15", calibration: platt}`

// somewhere are events, the last of which nothing is known.
func somewhere() [][]any {
	return [][]any{{int64(0), nil, int64(4), 0.5, " a1"}, {nil, int64(20), int64(7), 1.5, nil}, {int64(7200e6), nil, int64(-9), 0.25, "A4"}}
}

func TestScoredRowsHaveCalibratedProbabilitiesAndSets(t *testing.T) {
	a := trainedBy(t, sure, calibrated)
	plain, _ := score(t, a.Uncalibrated(), pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
	if _, err := a.NewScorer(pipeline.InScoring); !thalweg.Is(err, thalweg.Invalid) {
		t.Errorf("a model that is not calibrated scores: %v", err)
	}
	a.Adjust(&Adjustment{Calibration: &calibration.Calibration{Method: calibration.Platt, Rows: 99, Slope: 2, Offset: -1},
		Conformal: &conformal.Conformal{Method: conformal.Likelihood, Coverage: 0.8, Rows: 99, Quantile: 0.4}}, nil)
	parts := encode(t, a)
	again, err := Decode(catalog.All(), parts)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "encoded again", encode(t, again), parts)
	for _, of := range []*Artifact{a, again} {
		rows, _ := score(t, of, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
		for i, row := range rows {
			q := plain[i][6].(float64)
			p := 1 / (1 + math.Exp(1-2*math.Log(q/(1-q))))
			want := map[bool]string{true: "true", false: "false"}[p >= 0.5]
			if p > 0.4 && p < 0.6 {
				want = ""
			}
			if got := row[6].(float64); math.Abs(got-p) > 1e-6 || row[5] != (got >= 0.5) || row[7] != "["+want+"]" {
				t.Errorf("row %d: %v, from %v should come %v", i, row[5:8], q, p)
			}
		}
	}
	for name, damage := range map[string]func(map[string][]byte){
		"lacking": func(p map[string][]byte) { delete(p, PartCalibration) },
		"another": func(p map[string][]byte) {
			p[PartCalibration] = []byte(strings.Replace(string(p[PartCalibration]), "-1", "-2", 1))
		},
		"coverage": func(p map[string][]byte) {
			p[PartCalibration] = []byte(strings.Replace(string(p[PartCalibration]), "0.8", "0.9", 1))
		},
		"slope": func(p map[string][]byte) {
			p[PartCalibration] = []byte(strings.Replace(string(p[PartCalibration]), `"platt"`, `"isotonic"`, 1))
		},
		"none": func(p map[string][]byte) { p[PartCalibration] = []byte("{}") },
	} {
		damaged := maps.Clone(parts)
		damage(damaged)
		if _, err := Decode(catalog.All(), damaged); !thalweg.Is(err, thalweg.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode(catalog.All(), withPart(encode(t, trained(t, binary)), PartCalibration, parts[PartCalibration])); !thalweg.Is(err, thalweg.Corrupt) {
		t.Errorf("of a spec that asks for none: %v", err)
	}
}

func withPart(parts map[string][]byte, name string, data []byte) map[string][]byte {
	parts[name] = data
	return parts
}

func TestScoredRowsHaveIntervals(t *testing.T) {
	a := trainedBy(t, sure, number)
	a.Adjust(&Adjustment{Conformal: &conformal.Conformal{Method: conformal.Absolute, Coverage: 0.8, Rows: 99, Quantile: 2.5}}, nil)
	rows, _ := score(t, a, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
	for i, row := range rows {
		if at := row[6].(float64); row[7] != at-2.5 || row[8] != at+2.5 {
			t.Errorf("row %d: %v", i, row[5:9])
		}
	}
	if len(rows) != 3 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestSetsOfClassesAreJSON(t *testing.T) {
	a := trainedBy(t, sure, `{name: delayed, type: category, expression: "delay > 15", calibration: temperature}`)
	a.Adjust(&Adjustment{Calibration: &calibration.Calibration{Method: calibration.Temperature, Rows: 9, Slope: 0.001},
		Conformal: &conformal.Conformal{Method: conformal.Likelihood, Coverage: 0.8, Rows: 99, Quantile: 0.6}}, nil)
	rows, _ := score(t, a, pipeline.InScoring, tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...))
	if want := `["false","true"]`; len(rows) == 0 || rows[0][8] != want {
		t.Errorf("%v, want %s", rows, want)
	}
	if got, want := quoted("a<\"\xff\n"), `"a<\"\ufffd\n"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What is told of rows without calibration is what the artifact without it predicts, to the
// bit, and looking at it changes no prediction.
func TestOutputsThatAreKeptArePredictionsWithoutCalibration(t *testing.T) {
	for _, label := range []string{calibrated, `{name: delayed, type: category, expression: "delay > 15", calibration: temperature}`} {
		a := trainedBy(t, sure, label)
		by := &calibration.Calibration{Method: calibration.Platt, Rows: 99, Slope: 2, Offset: -1}
		if strings.Contains(label, "temperature") {
			by = &calibration.Calibration{Method: calibration.Temperature, Rows: 99, Slope: 0.5}
		}
		a.Adjust(&Adjustment{Calibration: by, Conformal: &conformal.Conformal{Method: conformal.Likelihood, Coverage: 0.8, Rows: 99, Quantile: 0.4}}, nil)
		predict := func(a *Artifact, keeps bool) (predictions, plain []float32) {
			s, err := a.NewScorer(pipeline.InTraining)
			if err != nil {
				t.Fatal(err)
			}
			if keeps {
				s.KeepOutputs()
			}
			rows, p, err := s.Score(t.Context(), tabletest.Batch(memory.DefaultAllocator, sourceColumns, 0, somewhere()...), nil)
			if err != nil {
				t.Fatal(err)
			}
			rows.Release()
			if keeps {
				plain = s.Uncalibrated()
			}
			return p, plain
		}
		want, _ := predict(a, false)
		without, _ := predict(a.Uncalibrated(), false)
		got, plain := predict(a, true)
		if len(want) == 0 || !slices.Equal(got, want) || !slices.Equal(plain, without) {
			t.Errorf("%s: %v and %v without calibration, want %v and %v", label, got, plain, want, without)
		}
	}
}
