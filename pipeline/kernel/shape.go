package kernel

// Shape says what the slots of a Block are: a fitted transform yields it, and a
// model is built from it.
type Shape struct {
	// Numbers is the count of number slots.
	Numbers int `json:"numbers"`
	// Cardinalities[j] is the count of ids of category slot j, the unknown (id
	// 0) included.
	Cardinalities []int `json:"cardinalities"`
	// Embeddings[j] is how many values each id of category slot j stands for, in a network
	// that learns them; 0: the slot is one-hot. Nil where all are.
	Embeddings []int `json:"embeddings,omitempty"`
	// Ordered are the category slots whose ids from 1 on are in the order of what
	// they stand for: bins of a number. Ascending.
	Ordered []int `json:"ordered,omitempty"`
	// Lists[l] is the dimensions of list slot l, row-major: [28 28 3].
	Lists [][]int `json:"lists,omitempty"`
	// Terms[t] is the count of ids of term slot t.
	Terms []int `json:"terms,omitempty"`
	// NumberNames, CategoryNames, ListNames and TermNames name the slots, for views and
	// errors.
	NumberNames   []string `json:"number_names"`
	CategoryNames []string `json:"category_names"`
	ListNames     []string `json:"list_names,omitempty"`
	TermNames     []string `json:"term_names,omitempty"`
}

// Embedding returns how many values an id of category slot j stands for; 0: it is one-hot.
func (s Shape) Embedding(j int) int {
	if j >= len(s.Embeddings) {
		return 0
	}
	return s.Embeddings[j]
}

// Elements returns the count of elements of an array of the given dimensions.
func Elements(dimensions []int) int {
	n := 1
	for _, d := range dimensions {
		n *= d
	}
	return n
}

// Check returns the first way in which b is not of shape s, or "". It looks at
// slots and lengths, not at values: the gathers check every id they use.
func (s Shape) Check(b *Block) string {
	switch {
	case len(b.Numbers) != s.Numbers:
		return "the block's count of number slots is not the shape's"
	case max(len(b.Categories), len(b.Bytes), len(b.Shorts)) != len(s.Cardinalities) && len(b.Octets) != (len(s.Cardinalities)+7)/8:
		return "the block's count of category slots is not the shape's"
	case len(b.Lists) != len(s.Lists):
		return "the block's count of list slots is not the shape's"
	case len(b.Terms) != len(s.Terms):
		return "the block's count of term slots is not the shape's"
	case b.Labels != nil && len(b.Labels) != b.Rows:
		return "the block's labels are not one per row"
	case b.Weights != nil && len(b.Weights) != b.Rows:
		return "the block's weights are not one per row"
	}
	for _, column := range b.Numbers {
		if len(column) != b.Rows {
			return "a number slot does not hold one value per row"
		}
	}
	for j := range s.Cardinalities {
		if bytes, shorts, words := b.Slot(j); b.Octets == nil && len(bytes)+len(shorts)+len(words) != b.Rows {
			return "a category slot does not hold one id per row"
		}
	}
	for _, group := range b.Octets {
		if len(group) != 8*b.Rows {
			return "a group of category slots does not hold eight ids per row"
		}
	}
	for l, column := range b.Lists {
		if len(column) != b.Rows*Elements(s.Lists[l]) {
			return "a list slot does not hold one array per row"
		}
	}
	for _, column := range b.Terms {
		if len(column) != b.Rows {
			return "a term slot does not hold the terms of each row"
		}
	}
	return ""
}
