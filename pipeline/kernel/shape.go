package kernel

// Shape is what the slots of a Block are: what a fitted transform yields and
// a model is built from.
type Shape struct {
	// Numbers is the count of number slots.
	Numbers int `json:"numbers"`
	// Cardinalities[j] is the count of ids of category slot j, the unknown (id
	// 0) included.
	Cardinalities []int `json:"cardinalities"`
	// NumberNames and CategoryNames name the slots, for views and errors.
	NumberNames   []string `json:"number_names"`
	CategoryNames []string `json:"category_names"`
}

// Check returns the first way in which b is not of shape s, or "". It looks at
// slots and lengths, not at values: the gathers check every id they use.
func (s Shape) Check(b *Block) string {
	switch {
	case len(b.Numbers) != s.Numbers:
		return "the block's count of number slots is not the shape's"
	case len(b.Categories) != len(s.Cardinalities):
		return "the block's count of category slots is not the shape's"
	case b.Labels != nil && len(b.Labels) != b.Rows:
		return "the block's labels are not one per row"
	}
	for _, column := range b.Numbers {
		if len(column) != b.Rows {
			return "a number slot does not hold one value per row"
		}
	}
	for _, column := range b.Categories {
		if len(column) != b.Rows {
			return "a category slot does not hold one id per row"
		}
	}
	return ""
}
