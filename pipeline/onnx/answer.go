package onnx

import (
	"fmt"
	"math"

	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/imported"
)

// rawOutput is what the model says before that becomes a prediction: the log-odds of a
// binary label for example.
const rawOutput = "raw_score"

// link is how a type of answer is written: the names of the graph's outputs besides
// rawOutput, which are those of scored rows, and what writes them from what the model
// says, [rows, outputs].
type link struct {
	outputs []string
	write   func(x *exporter, predictions value, answer pipeline.Answer)
}

// answers are the types of answers, by name.
func answers() map[string]link {
	return map[string]link{
		"binary":    {[]string{"prediction", "probability"}, decided("probability")},
		"margin":    {[]string{"prediction", "score"}, decided("score")},
		"number":    {[]string{"prediction", "score"}, writeNumber},
		"count":     {[]string{"prediction", "score"}, writeNumber},
		"quantiles": {[]string{"prediction", "score", "quantiles"}, writeQuantiles},
		"category":  {[]string{"prediction", "probability", "probabilities"}, writeClasses},
	}
}

// answer writes the outputs, given what the model says of rows: [rows, outputs].
func (x *exporter) answer(raw value) error {
	m, answer := x.artifact.Model, x.artifact.Answer()
	l, ok := answers()[answer.Type]
	if !ok {
		return refused("output "+x.plan.Label.Name, fmt.Errorf("answers of type %s have no form in ONNX", answer.Type))
	}
	x.output(rawOutput, raw, float32Type, m.Outputs(), "what the model says before it becomes a prediction")
	p, err := x.predict(raw, answer)
	if err != nil {
		return err
	}
	p = x.op("Where", x.column(x.blank), x.floats("unknown", x.artifact.Constant(), 1, m.Outputs()), p)
	if x.dropped != "" {
		p = x.op("Where", x.column(x.dropped), x.float(float32(math.NaN())), p)
	}
	l.write(x, p, answer)
	return nil
}

// predict makes predictions of what the model says.
func (x *exporter) predict(raw value, answer pipeline.Answer) (value, error) {
	if c := x.artifact.Model.Calibration(); c != nil {
		return x.calibrated(raw, c)
	}
	if e := x.plan.Imported; e != nil {
		switch e.Link {
		case imported.Logistic:
			return x.sigmoid(raw), nil
		case imported.Exp:
			return x.exp(raw, 1), nil
		}
		return raw, nil
	}
	loss := x.artifact.Model.Loss().Type()
	switch answer.Type + " " + loss {
	case "binary cross_entropy", "binary focal":
		return x.sigmoid(raw), nil
	case "category cross_entropy", "category focal":
		return x.softmax(raw), nil
	case "count poisson":
		return x.exp(raw, 1), nil
	case "number squared", "number huber", "margin hinge":
		return raw, nil
	case "quantiles quantile":
		levels := x.ints("levels", int64(len(answer.Levels)))
		return x.node("", "TopK", []value{raw, levels}, 2, intAttribute("largest", 0))[0], nil
	}
	return "", refused("loss "+loss, fmt.Errorf("its answers of type %s have no form in ONNX", answer.Type))
}

// output gives a value a name of an output, of so many elements a row.
func (x *exporter) output(name string, v value, of elementType, width int, doc string) {
	x.alias(name, v)
	x.outputs = append(x.outputs, valueInfo(name, of, width, doc))
	x.Outputs = append(x.Outputs, name)
}

// decided writes a bool, and what it is decided by.
func decided(by string) func(x *exporter, p value, answer pipeline.Answer) {
	return func(x *exporter, p value, answer pipeline.Answer) {
		yes := x.op("GreaterOrEqual", x.cast(p, float64Type), x.double(answer.Threshold))
		x.output("prediction", yes, boolType, 1, fmt.Sprintf("whether the %s is %v at least", by, answer.Threshold))
		x.output(by, p, float32Type, 1, "of "+x.plan.Label.Name+" being true")
	}
}

func writeNumber(x *exporter, p value, _ pipeline.Answer) {
	x.output("prediction", p, float32Type, 1, x.plan.Label.Name)
	x.output("score", p, float32Type, 1, "the prediction")
}

func writeQuantiles(x *exporter, p value, answer pipeline.Answer) {
	middle := x.with("Gather", []attribute{intAttribute("axis", 1)}, p, x.ints("middle", int64(answer.Middle())))
	writeNumber(x, middle, answer)
	x.output("quantiles", p, float32Type, len(answer.Levels), fmt.Sprintf("of the levels %v", answer.Levels))
}

func writeClasses(x *exporter, p value, answer pipeline.Answer) {
	likeliest := x.with("ArgMax", []attribute{intAttribute("axis", 1)}, p)
	x.output("prediction", x.gather(x.texts("classes", answer.Classes), likeliest), stringType, 1, "the likeliest class")
	x.output("probability", x.op("ReduceMax", p, x.ints("axis", 1)), float32Type, 1, "of the likeliest class")
	x.output("probabilities", p, float32Type, len(answer.Classes), fmt.Sprintf("of the classes %q", answer.Classes))
}
