package model

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the models. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "linear", Options: Spec(new(Linear)), Source: linearSource},
		{Name: "cnn", Options: Spec(new(CNN)), Source: cnnSource},
		{Name: "fm", Options: Spec(new(FM)), Source: fmSource},
		{Name: "knn", Options: Spec(new(KNN)), Source: knnSource},
		{Name: "mlp", Options: Spec(new(MLP)), Source: mlpSource},
		{Name: "trees", Options: Spec(new(Trees)), Source: treesSource},
	}
}

// Losses lists the losses; the first of a type of label is its default. To add
// one, write its file and its line.
func Losses() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "cross_entropy", Options: new(CrossEntropy), Source: crossEntropySource},
		{Name: "focal", Options: new(Focal), Source: focalSource},
		{Name: "hinge", Options: new(Hinge), Source: hingeSource},
		{Name: "squared", Options: new(Squared), Source: squaredSource},
		{Name: "huber", Options: new(Huber), Source: huberSource},
		{Name: "quantile", Options: new(Quantile), Source: quantileSource},
		{Name: "poisson", Options: new(Poisson), Source: poissonSource},
	}
}
