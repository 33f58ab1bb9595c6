// Package catalog puts together all that a spec of this build can choose: one
// line a kind. Whoever reads specs is handed it; nothing registers itself.
package catalog

import (
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/clean"
	"github.com/thalweg/thalweg/pipeline/endpoint"
	"github.com/thalweg/thalweg/pipeline/event"
	"github.com/thalweg/thalweg/pipeline/feature"
	"github.com/thalweg/thalweg/pipeline/metric"
	"github.com/thalweg/thalweg/pipeline/model"
	"github.com/thalweg/thalweg/pipeline/optim"
	"github.com/thalweg/thalweg/pipeline/optim/boosting"
	"github.com/thalweg/thalweg/pipeline/quality"
	"github.com/thalweg/thalweg/pipeline/schedule"
	"github.com/thalweg/thalweg/pipeline/search"
	"github.com/thalweg/thalweg/pipeline/split"
	"github.com/thalweg/thalweg/pipeline/uncertainty"
)

// All returns the catalog of this build.
func All() pipeline.Catalog {
	return pipeline.Catalog{
		pipeline.Steps:            clean.Catalog(),
		pipeline.Models:           model.Catalog(),
		pipeline.Networks:         model.Networks(),
		pipeline.Losses:           model.Losses(),
		pipeline.Optimizers:       append(optim.Catalog(), boosting.Entry()),
		pipeline.Schedulers:       schedule.Catalog(),
		pipeline.SearchAlgorithms: search.Catalog(),
		pipeline.Encoders:         feature.Encoders(),
		pipeline.Normalizations:   feature.Normalizations(),
		pipeline.Metrics:          metric.Catalog(),
		pipeline.EventFormats:     event.Catalog(),
		pipeline.DatasetFormats:   endpoint.DatasetFormats(),
		pipeline.Streams:          endpoint.Streams(),
		pipeline.TableFormats:     endpoint.TableFormats(),
		pipeline.SinkFormats:      endpoint.SinkFormats(),
		pipeline.DeadLetterTopics: endpoint.DeadLetterTopics(),
		pipeline.Splits:           split.Catalog(),
		pipeline.MissingValues:    feature.MissingValues(),
		pipeline.Tests:            quality.Catalog(),
		pipeline.Uncertainties:    uncertainty.Catalog(),
	}
}
