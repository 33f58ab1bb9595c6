package serve

import (
	"bytes"
	"fmt"
)

// splitRows takes the rows of a body apart: one JSON object, or an array of them. They are
// moved to lie end to end in the body's memory. What is wrong with an object is said of that
// row when it is decoded; only an array that cannot be taken apart is an error.
func splitRows(body []byte) (values []byte, ends []int, many bool, err error) {
	p := space(body, 0)
	if p == len(body) {
		return nil, nil, false, invalid("body", "it is empty: send a JSON object, or an array of them")
	}
	if body[p] != '[' {
		return body, []int{len(body)}, false, nil
	}
	ends, n := make([]int, 0, 16), 0
	if p = space(body, p+1); p < len(body) && body[p] == ']' {
		return body[:0], ends, true, trailing(body, p+1)
	}
	for {
		end := value(body, p)
		if end < 0 {
			return nil, nil, true, invalid("body", fmt.Sprintf("row %d, which begins at byte %d, has no end", len(ends), p))
		}
		n += copy(body[n:], body[p:end])
		ends = append(ends, n)
		switch p = space(body, end); {
		case p < len(body) && body[p] == ',':
			p = space(body, p+1)
		case p < len(body) && body[p] == ']':
			return body[:n], ends, true, trailing(body, p+1)
		default:
			return nil, nil, true, invalid("body", fmt.Sprintf("behind row %d, at byte %d, there is neither a comma nor the end of the array", len(ends)-1, p))
		}
	}
}

func trailing(body []byte, p int) error {
	if p = space(body, p); p < len(body) {
		return invalid("body", fmt.Sprintf("there is something behind the array, at byte %d", p))
	}
	return nil
}

func space(b []byte, p int) int {
	for p < len(b) && (b[p] == ' ' || b[p] == '\n' || b[p] == '\t' || b[p] == '\r') {
		p++
	}
	return p
}

// value returns where the JSON value at p ends as far as brackets and quotes tell, -1 if it
// does not or is empty.
func value(b []byte, p int) int {
	depth := 0
	for i := p; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = quoted(b, i); i < 0 {
				return -1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return bare(p, i)
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return bare(p, i)
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return -1
}

func bare(p, end int) int {
	if end == p {
		return -1
	}
	return end
}

// quoted returns where the text that begins at p has its closing quote, -1 for none.
func quoted(b []byte, p int) int {
	for p++; ; p++ {
		q := bytes.IndexByte(b[p:], '"')
		if q < 0 {
			return -1
		}
		p += q
		slashes := 0
		for b[p-1-slashes] == '\\' {
			slashes++ // ends at the opening quote
		}
		if slashes%2 == 0 {
			return p
		}
	}
}
