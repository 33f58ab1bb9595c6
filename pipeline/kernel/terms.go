package kernel

import "unsafe"

// Term is one of the things of which a row has any number, such as the words of a text:
// its id, and how much of it there is.
type Term struct {
	ID     uint32
	Weight float32
}

// TermBytes is how many bytes a term has in memory.
const TermBytes = int(unsafe.Sizeof(Term{}))

// TermBytesOf returns the memory of terms, little endian.
func TermBytesOf(terms []Term) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(terms))), TermBytes*len(terms))
}

// TermsOf views bytes, which begin at a multiple of four, as the terms whose memory they
// are.
func TermsOf(b []byte) []Term {
	return unsafe.Slice((*Term)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/TermBytes)
}

// GatherTerms does z[i*k+o] += w * t[id*k+o] for each term (id, w) of row i, in order,
// and each of k outputs o.
func GatherTerms(z, t []float32, rows [][]Term, k int) {
	checkLen(len(z), len(rows)*k)
	for i, row := range rows {
		for _, term := range row {
			weights := t[int(term.ID)*k:][:k]
			for o, w := range weights {
				z[i*k+o] += float32(term.Weight * w)
			}
		}
	}
}

// ScatterTerms does g[id*k+o] += w * d[i*k+o] likewise.
func ScatterTerms(g []float32, rows [][]Term, d []float32, k int) {
	checkLen(len(d), len(rows)*k)
	for i, row := range rows {
		for _, term := range row {
			weights := g[int(term.ID)*k:][:k]
			for o := range weights {
				weights[o] += float32(term.Weight * d[i*k+o])
			}
		}
	}
}
