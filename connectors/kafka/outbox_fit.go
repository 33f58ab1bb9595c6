package kafka

import (
	"slices"
	"strconv"

	"github.com/thalweg/thalweg/connectors"
)

// Headers of messages that the topic does not take as they are.
const (
	// TruncatedHeader is the size that the value had before it was cut.
	TruncatedHeader = "thalweg.truncated"
	// LeftOutHeader is how many headers were left out, the largest ones.
	LeftOutHeader = "thalweg.headers_left_out"
)

// fit cuts m to about size bytes and says so in its headers: the largest headers
// go if all together take more than half of that, then the value is cut, or what
// is shorter stands for it.
func fit(m connectors.Message, size int) connectors.Message {
	if sizeOf(m) <= size {
		return m
	}
	m.Headers = slices.Clone(m.Headers)
	leftOut := 0
	for around := sizeOf(m) - len(m.Value); around > size/2 && len(m.Headers) > 0; leftOut++ {
		largest := 0
		for i, h := range m.Headers {
			if headerSize(h) > headerSize(m.Headers[largest]) {
				largest = i
			}
		}
		around -= headerSize(m.Headers[largest])
		m.Headers = slices.Delete(m.Headers, largest, largest+1)
	}
	say := func(name string, n int) {
		m.Headers = append(m.Headers, connectors.Header{Name: name, Value: []byte(strconv.Itoa(n))})
	}
	if leftOut > 0 {
		say(LeftOutHeader, leftOut)
	}
	if room := size - (sizeOf(m) - len(m.Value)); room < len(m.Value) {
		say(TruncatedHeader, len(m.Value))
		if m.Shorter != nil {
			m.Value = m.Shorter()
		} else {
			m.Value = m.Value[:max(room, 0)]
		}
	}
	return m
}

func sizeOf(m connectors.Message) int {
	n := len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += headerSize(h)
	}
	return n
}

func headerSize(h connectors.Header) int { return len(h.Name) + len(h.Value) }
