package model

import "github.com/thalweg/thalweg/pipeline"

// Catalog lists the models. To add one, write its file and its line.
func Catalog() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "linear", Options: Spec(new(Linear))},
		{Name: "cnn", Options: Spec(new(CNN))},
		{Name: "fm", Options: Spec(new(FM))},
		{Name: "knn", Options: Spec(new(KNN))},
		{Name: "mlp", Options: Spec(new(MLP))},
		{Name: "trees", Options: Spec(new(Trees))},
	}
}

// Networks lists the models whose last hidden layer neighbours are searched on.
func Networks() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "mlp", Options: network(new(MLP))},
		{Name: "cnn", Options: network(new(CNN))},
	}
}

// Losses lists the losses; the first of a type of label is its default. To add
// one, write its file and its line.
func Losses() []pipeline.Entry {
	return []pipeline.Entry{
		{Name: "cross_entropy", Options: new(CrossEntropy)},
		{Name: "focal", Options: new(Focal)},
		{Name: "hinge", Options: new(Hinge)},
		{Name: "squared", Options: new(Squared)},
		{Name: "huber", Options: new(Huber)},
		{Name: "quantile", Options: new(Quantile)},
		{Name: "poisson", Options: new(Poisson)},
	}
}
