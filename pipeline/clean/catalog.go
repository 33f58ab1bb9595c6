package clean

import (
	"time"

	"github.com/apache/arrow/go/v15/arrow/memory"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline"
)

// operator is one line of the catalog: how a step of the spec is recognised
// and made.
type operator struct {
	name string
	has  func(pipeline.CleanStep) bool
	make func(pipeline.Step, builder) (pipeline.Op, error)
}

// builder is what operators are made with.
type builder struct {
	mem  memory.Allocator
	zone *time.Location // of text without an offset
}

// catalog lists the operators. To add one is a file and a line here.
var catalog = []operator{
	{"trim", func(s pipeline.CleanStep) bool { return s.Trim != nil }, newTrim},
	{"case", func(s pipeline.CleanStep) bool { return s.Case != nil }, newCase},
	{"filter", func(s pipeline.CleanStep) bool { return s.Filter != nil }, newFilter},
	{"derive", func(s pipeline.CleanStep) bool { return s.Derive != nil }, newDerive},
	{"cast", func(s pipeline.CleanStep) bool { return s.Cast != nil }, newCast},
	{"fill", func(s pipeline.CleanStep) bool { return s.Fill != nil }, newFill},
}

func newOp(step pipeline.Step, b builder) (pipeline.Op, error) {
	for _, o := range catalog {
		if !o.has(step.Spec) {
			continue
		}
		op, err := o.make(step, b)
		if err != nil {
			return nil, &thalweg.Error{Op: "clean", Kind: thalweg.Invalid, Subject: "step " + step.Name, Err: err}
		}
		return op, nil
	}
	return nil, &thalweg.Error{Op: "clean", Kind: thalweg.Unsupported, Subject: "step " + step.Name,
		Hint: "the step names no operator of this build"}
}
