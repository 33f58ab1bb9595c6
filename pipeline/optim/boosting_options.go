package optim

// Boosting grows trees, the one algorithm for a model of them: each by Newton's
// method on what those before it leave (Friedman 2001; Chen and Guestrin 2016).
// Derivatives are added up as integers, so that a tree is the same whatever the
// order, the replicas and the workers.
type Boosting struct{}

// Without implements pipeline.Restricted.
func (*Boosting) Without() map[string]string {
	without := stepsOnly("leave it out: trees grow by no steps")
	without["regularization.l1"] = "write l2: it holds the values of leaves back"
	return without
}
