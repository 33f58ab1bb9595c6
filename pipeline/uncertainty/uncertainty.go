// Package uncertainty lists the ways in which a model says how far its answers may be off:
// columns of scored rows, and metrics that hold them against the labels.
package uncertainty

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the ways. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "conformal", Options: new(Conformal)},
		{Name: "mc_dropout", Options: new(MCDropout)},
		{Name: "bootstrap", Options: new(Bootstrap)},
	}
}
