package train_test

import (
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/artifact"
	"github.com/thalweg/thalweg/pipeline/artifact/artifacttest"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/kernel"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/table"
	"github.com/thalweg/thalweg/pipeline/table/tabletest"
)

// The toys: a model, a loss, an update rule, the algorithm Descent, and an encoder
// that makes lists, each as a build would add it.
func toys() pipeline.Catalog {
	c := catalog.All()
	c[pipeline.Models] = append(c[pipeline.Models], pipeline.Entry{Name: "masked", Options: new(Masked)})
	c[pipeline.Losses] = append(c[pipeline.Losses], pipeline.Entry{Name: "smoothed", Options: new(Smoothed)})
	c[pipeline.Optimizers] = append(c[pipeline.Optimizers],
		pipeline.Entry{Name: "signs", Options: new(Signs)},
		pipeline.Entry{Name: "descent", Options: new(Descent)})
	c[pipeline.Encoders] = append(c[pipeline.Encoders], pipeline.Entry{Name: "powers", Options: new(Powers)})
	return c
}

// Masked is a linear model of the numbers, each row of which is left out of a
// step at random.
type Masked struct {
	// Gain multiplies the numbers.
	Gain float64 `yaml:"gain,omitempty" json:"gain,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter.
func (m *Masked) Defaults(at pipeline.Place) { pipeline.Default(at, "gain", &m.Gain, 2) }

// New implements model.Spec.
func (m *Masked) New(loss model.Loss, shape kernel.Shape) (*model.Model, error) {
	return model.NewNetwork("masked", shape, loss, maskedLayer{float32(m.Gain), shape.Numbers})
}

type maskedLayer struct {
	gain    float32
	numbers int
}

func (l maskedLayer) Outputs() int { return 1 }
func (l maskedLayer) Scratch() int { return 1 }
func (l maskedLayer) Views() []model.View {
	return []model.View{{Name: "weights", Shape: []int{l.numbers}}, {Name: "bias", Shape: []int{1}, Offset: l.numbers, Bias: true}}
}
func (l maskedLayer) Init(params []float32, seed uint64) { params[0] = float32(seed%7) / 100 }

func (l maskedLayer) Forward(c *model.Chunk, params, out []float32) {
	for i := range out {
		c.Scratch[i] = l.gain
		if c.Training && (c.Seed+uint64(c.From+i)*0xbf58476d1ce4e5b9)>>63 == 0 {
			c.Scratch[i] = 0
		}
		out[i] = params[l.numbers]
		for k := range l.numbers {
			out[i] += float32(params[k] * float32(c.Scratch[i]*c.Block.Numbers[k][c.From+i]))
		}
	}
}

func (l maskedLayer) Backward(c *model.Chunk, _, outGrad, grad []float32) {
	for i, d := range outGrad {
		grad[l.numbers] += d
		for k := range l.numbers {
			grad[k] += float32(d * float32(c.Scratch[i]*c.Block.Numbers[k][c.From+i]))
		}
	}
}

// Smoothed is the cross entropy of labels that are moved towards one half.
type Smoothed struct {
	model.CrossEntropy
	// Smoothing is how far.
	Smoothing float64 `yaml:"smoothing,omitempty" json:"smoothing,omitempty" jsonschema:"minimum=0,maximum=1"`
}

// Defaults implements pipeline.Defaulter.
func (s *Smoothed) Defaults(at pipeline.Place) { pipeline.Default(at, "smoothing", &s.Smoothing, 0.25) }

// Type implements model.Loss.
func (*Smoothed) Type() string { return "smoothed" }

// Gradient implements model.Loss.
func (s *Smoothed) Gradient(out, labels []float32, weight float32) (loss float64) {
	for i, y := range labels {
		target := float64(y)*(1-s.Smoothing) + s.Smoothing/2
		p := 1 / (1 + math.Exp(-float64(out[i])))
		loss -= target*math.Log(p) + (1-target)*math.Log(1-p)
		out[i] = weight * float32(p-target)
	}
	return loss
}

// Signs goes by the signs of the gradient.
type Signs struct {
	// LearningRate is the length of a step.
	LearningRate float64 `yaml:"learning_rate,omitempty" json:"learning_rate,omitempty" jsonschema:"exclusiveMinimum=0"`
}

// Defaults implements pipeline.Defaulter.
func (s *Signs) Defaults(at pipeline.Place) {
	pipeline.Default(at, "learning_rate", &s.LearningRate, 0.0125)
}

// Validate implements optim.Optimizer.
func (*Signs) Validate() error { return nil }

// StateSize implements optim.Optimizer.
func (*Signs) StateSize(int) int { return 0 }

// Step implements optim.Optimizer.
func (s *Signs) Step(params, grad, _ []float32, _ float32) {
	for i, g := range grad {
		if g != 0 {
			params[i] -= float32(math.Copysign(float64(float32(s.LearningRate)), float64(g)))
		}
	}
}

// Powers makes a list of a number: itself and its square.
type Powers struct{ feature.Scaled }

// Load implements feature.Encoder.
func (p *Powers) Load(f pipeline.Feature, data *feature.Feature) (feature.Encoding, error) {
	scaled, err := p.Scaled.Load(f, data)
	return powers{f.Name, scaled}, err
}

type powers struct {
	name   string
	scaled feature.Encoding
}

func (p powers) AddTo(s *kernel.Shape) {
	s.Lists, s.ListNames = append(s.Lists, []int{2}), append(s.ListNames, p.name)
}

func (p powers) Encode(a arrow.Array, out feature.Slots, m *feature.Memo, n *feature.Tally) error {
	column := make([]float32, a.Len())
	err := p.scaled.Encode(a, feature.Slots{Numbers: [][]float32{column}}, m, n)
	for i, x := range column {
		out.Lists[0][2*i], out.Lists[0][2*i+1] = x, x*x
	}
	return err
}

func TestListsOfAnEncoderReachTheModel(t *testing.T) {
	text := strings.Replace(toySpec("", ""), "{name: y, type: number}", "{name: y, type: number, encoder: {type: powers}}", 1)
	a := toyArtifact(t, text)
	v, ok := model.Find(a.Model, "list.y.weight")
	if !ok || v.Size() != 2 {
		t.Fatalf("views %v", a.Model.Views())
	}
	clear(a.Params)
	copy(v.Of(a.Params), []float32{1, 2})
	number := a.Transform.Features()[1].Number
	y := (3.0 - number.Shift) * number.Scale
	want := 1 / (1 + math.Exp(-(y + 2*y*y)))
	for range 2 { // the second time, memory is reused
		predictions := toyScores(t, a)
		if math.Abs(float64(predictions[1])-want) > 1e-6 {
			t.Errorf("prediction %v, want %v", predictions[1], want)
		}
	}
}

// toyScores scores two events, whose y are -1 and 3.
func toyScores(t *testing.T, a *artifact.Artifact) []float32 {
	scorer, err := a.NewScorer(pipeline.InScoring)
	if err != nil {
		t.Fatal(err)
	}
	events := tabletest.Batch(memory.DefaultAllocator, scorer.Input(), 0, []any{0.5, -1.0, int64(1), int64(2)}, []any{2.5, 3.0, int64(0), int64(1)})
	defer events.Release()
	rows, predictions, err := scorer.Score(t.Context(), events, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows.Release()
	return predictions
}

// toyDocument is a pipeline of the rows of dataset.
const toyDocument = `
apiVersion: thalweg/v1
kind: Pipeline
metadata: {name: toys}
spec:
  sources:
    train:  {s3: {path: "s3://lake/toys/*.parquet"}, format: {type: parquet}}
    events: {kafka: {topic: toys}, format: {type: json}}
  schema:
    columns:
      - {name: x, type: float64}
      - {name: y, type: float64}
      - {name: few, type: int64}
      - {name: many, type: int64}
      - {name: late, type: bool, available_in: [training]}
  input_features:
    - {name: x, type: number}
    - {name: y, type: number}
    - {name: few, type: category}
    - {name: many, type: category}
  output_features:
    - {name: late, type: binary, loss: {LOSS}}
  model: {MODEL}
  trainer:
    batch_size: 64
    epochs: 2
    optimizer: {OPTIMIZER}
    distributed: {replicas: 3, sync_every: 4}
  scoring:
    source: events
    sink: {s3: {path: "s3://lake/scored/"}, format: {type: parquet}}
`

// toySpec fills in the choices, those of the build where a toy is not asked for.
func toySpec(toy, replacement string) string {
	choices := map[string]string{"LOSS": "type: cross_entropy", "MODEL": "type: linear", "OPTIMIZER": "type: adam"}
	choices[toy] = replacement
	text := toyDocument
	for place, choice := range choices {
		text = strings.ReplaceAll(text, place, choice)
	}
	return text
}

func TestModelLossOptimizerAndAlgorithmOfATestRunFromSpecText(t *testing.T) {
	schema, err := pipeline.JSONSchema(toys())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, toy := range []struct{ place, choice, option, rendered, misspelt string }{
		{"LOSS", "type: cross_entropy", "type", "type: cross_entropy", "typ"}, // none
		{"LOSS", "type: smoothed", "smoothing", "smoothing: 0.25", "smothing"},
		{"MODEL", "type: masked", "gain", "gain: 2.0", "gian"},
		{"OPTIMIZER", "type: signs", "learning_rate", "learning_rate: 0.0125", "learing_rate"},
		{"OPTIMIZER", "type: descent", "rates", "rates: 8", "rats"},
	} {
		t.Run(toy.choice, func(t *testing.T) {
			text := toySpec(toy.place, toy.choice)
			if !strings.Contains(string(schema), `"`+toy.option+`"`) || !strings.Contains(string(schema), strings.TrimPrefix(toy.choice, "type: ")) {
				t.Error("the JSON schema does not have it")
			}
			_, err := pipeline.Parse(toys(), "toys.yaml", []byte(toySpec(toy.place, toy.choice+", "+toy.misspelt+": 1")))
			if err == nil || !strings.Contains(err.Error(), "did you mean "+toy.option) {
				t.Errorf("misspelt: error %v", err)
			}
			a := toyArtifact(t, text)
			rendered, err := pipeline.Render(a.Spec)
			if err != nil || !strings.Contains(string(rendered), toy.rendered) {
				t.Errorf("rendered as\n%s\nerror %v", rendered, err)
			}

			// The batch half.
			job := newJob(t, dataset{shards: 2, rows: 900, label: "binary", seed: 12}, 3)
			job.Trainer = a.Spec.Spec.Trainer
			if job.Model, err = model.New(a.Spec.Spec.Model, a.Plan().Label.Loss, dataShape); err != nil {
				t.Fatal(err)
			}
			want := alone(t, job)
			if got := newCluster(t, 3, 3).runAll(job, noHooks); got != want {
				t.Errorf("three workers: %s\nalone: %s", got, want)
			}
			hash, _, _ := strings.Cut(want, ",")
			if other, ok := seen[hash]; ok {
				t.Errorf("it gives the parameters of %s", other)
			}
			seen[hash] = toy.choice

			// The stream half.
			parts, err := a.Encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			if a, err = artifact.Decode(toys(), parts); err != nil {
				t.Fatal(err)
			}
			predictions := toyScores(t, a)
			if len(predictions) != 2 || !(predictions[0] > 0 && predictions[0] < 1) || predictions[0] == predictions[1] {
				t.Errorf("predictions %v", predictions)
			}
		})
	}
}

// toyArtifact returns an artifact of a document, with made up parameters.
func toyArtifact(t *testing.T, document string) *artifact.Artifact {
	columns := table.Schema{Columns: []table.Column{{Name: "x", Type: table.Float64}, {Name: "y", Type: table.Float64},
		{Name: "few", Type: table.Int64}, {Name: "many", Type: table.Int64}, {Name: "late", Type: table.Bool, TrainingOnly: true}}}
	var rows [][]any
	for i := range int64(40) {
		rows = append(rows, []any{float64(i), float64(i * i % 17), i % 3, i % 5, i%2 == 0})
	}
	return artifacttest.TrainOf(t, toys(), document, columns, 1, rows...)
}
