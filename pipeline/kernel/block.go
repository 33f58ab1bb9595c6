// Package kernel holds the numeric loops of Thalweg on plain slices: no
// allocation, no interfaces, shapes checked before work starts.
package kernel

// Block is a run of rows in the form that models read: column-major, one slice
// for each input slot.
type Block struct {
	Rows int
	// Numbers[k][i] is number slot k of row i, normalised and never NaN or Inf.
	Numbers [][]float32
	// Categories[j][i] is the id of category slot j of row i, in
	// [0, cardinality(j)); id 0 is the unknown.
	Categories [][]uint32
	// Bytes[j] and Shorts[j] hold slot j instead, where its ids are kept in one byte or
	// two; the slot is nil in the others. Either may be nil altogether.
	Bytes  [][]uint8
	Shorts [][]uint16
	// Octets holds the category slots instead of Categories, where no id takes more
	// than a byte, by groups of eight slots: Octets[g][8*i+k] is the id of slot 8*g+k of
	// row i, and 0 where there is no such slot. Else it is nil.
	Octets [][]uint8
	// Lists[l] holds list slot l, an array of fixed shape for each row (a
	// sequence, an image), row after row: with n elements in the shape, row i is
	// [i*n, (i+1)*n), never NaN or Inf.
	Lists [][]float32
	// Terms[t][i] is the terms that row i has of term slot t: the words of a text, as many
	// as there are, by ascending id and no id twice. Weights are never NaN or Inf.
	Terms [][][]Term
	// Ahead is memory that is read after the block, which Affine prefetches in part; or nil.
	Ahead []float32
	// Labels[i] is the label of row i: 0 or 1 for a binary output, the value for
	// a number. It is nil where rows have no labels (scoring).
	Labels []float32
	// Weights[i] is how much the loss of row i counts, above 0; nil where all count 1.
	Weights []float32
}

// AheadOf returns the part of Ahead that Affine prefetches while it reads some rows.
func (b *Block) AheadOf(from, to int) []float32 {
	part := func(row int) int { return min(row*len(b.Numbers)/2, len(b.Ahead)) }
	return b.Ahead[part(from):part(to)]
}

// Adjacent returns the memory of columns that lie side by side, one after the other, and nil if
// they do not.
func Adjacent(columns [][]float32) []float32 {
	if len(columns) == 0 || len(columns[0]) == 0 {
		return nil
	}
	rows := len(columns[0])
	whole := columns[0][:cap(columns[0])]
	if len(whole) < len(columns)*rows {
		return nil
	}
	for k, column := range columns {
		if len(column) != rows || &column[0] != &whole[k*rows] {
			return nil
		}
	}
	return whole[:len(columns)*rows]
}

// Slot returns the ids of category slot j in as many bytes as they are kept in; the
// others are nil.
func (b *Block) Slot(j int) (bytes []uint8, shorts []uint16, words []uint32) {
	if j < len(b.Bytes) {
		bytes = b.Bytes[j]
	}
	if j < len(b.Shorts) {
		shorts = b.Shorts[j]
	}
	if j < len(b.Categories) {
		words = b.Categories[j]
	}
	return bytes, shorts, words
}

// Row makes dst the block of one row, which shares the memory of b.
func (b *Block) Row(i int, dst *Block) {
	dst.Rows, dst.Ahead, dst.Labels = 1, nil, nil
	dst.Numbers = cell(dst.Numbers, b.Numbers, i)
	dst.Categories, dst.Bytes, dst.Shorts = cell(dst.Categories, b.Categories, i), cell(dst.Bytes, b.Bytes, i), cell(dst.Shorts, b.Shorts, i)
	dst.Terms = cell(dst.Terms, b.Terms, i)
	dst.Octets = dst.Octets[:0]
	for _, group := range b.Octets {
		dst.Octets = append(dst.Octets, group[8*i:8*i+8:8*i+8])
	}
	dst.Lists = dst.Lists[:0]
	for _, list := range b.Lists {
		n := len(list) / b.Rows
		dst.Lists = append(dst.Lists, list[n*i:n*i+n:n*i+n])
	}
	if b.Labels != nil {
		dst.Labels = b.Labels[i : i+1 : i+1]
	}
}

// cell appends row i of each column to dst, which is overwritten.
func cell[T any](dst, columns [][]T, i int) [][]T {
	dst = dst[:0]
	for _, c := range columns {
		if c != nil {
			c = c[i : i+1 : i+1]
		}
		dst = append(dst, c)
	}
	return dst
}
