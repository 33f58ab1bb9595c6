package summary

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/murmur3"
)

// Bounds of a Distribution. What is beyond them is counted by hash.
const (
	mostNumbers   = 1 << 12
	mostTexts     = 1000
	mostTextBytes = 64 << 10
	// Buckets is how many parts texts are counted in, by hash, beside by name.
	Buckets = 16
)

// Distribution counts the values of a column in bounded memory, which are numbers or texts.
type Distribution struct {
	// Missing counts what is null or not a number.
	Missing int64 `json:"missing,omitempty"`
	// Infinite counts the values below and above all numbers.
	Infinite [2]int64 `json:"infinite"`
	// Numbers are the finite ones; nil: the column has texts.
	Numbers *Quantiles `json:"numbers,omitempty"`
	// Texts has the counts of texts by name, unless they are too Many, and Buckets those by
	// hash.
	Texts   map[string]int64 `json:"texts,omitempty"`
	Many    bool             `json:"many,omitempty"`
	Buckets []int64          `json:"buckets,omitempty"`

	bytes int // of the names of texts
}

// NewNumbers returns a distribution of numbers, none yet.
func NewNumbers() *Distribution { return &Distribution{Numbers: &Quantiles{Most: mostNumbers}} }

// NewTexts returns a distribution of texts, none yet.
func NewTexts() *Distribution {
	return &Distribution{Buckets: make([]int64, Buckets)}
}

// AddNumber counts a number: NaN is missing.
func (d *Distribution) AddNumber(x float64) {
	switch {
	case x != x:
		d.Missing++
	case x-x != 0 && x < 0:
		d.Infinite[0]++
	case x-x != 0:
		d.Infinite[1]++
	default:
		d.Numbers.Add(x)
	}
}

// AddText counts a text n times.
func (d *Distribution) AddText(text string, n int64) {
	d.Buckets[Bucket(text)] += n
	d.name(text, n)
}

// Bucket returns the part of Buckets in which a text is counted.
func Bucket(text string) int { return int(murmur3.StringSum64(text) % Buckets) }

// name counts a text by name, as long as there are few. That there are too many depends on
// which there are, and not on their order.
func (d *Distribution) name(text string, n int64) {
	if d.Many {
		return
	}
	if _, known := d.Texts[text]; !known {
		if d.bytes += len(text); d.bytes > mostTextBytes || len(d.Texts) == mostTexts {
			d.Texts, d.Many = nil, true
			return
		}
	}
	if d.Texts == nil {
		d.Texts = make(map[string]int64)
	}
	d.Texts[strings.Clone(text)] += n // its memory may be of a batch, and an assignment takes a known key's too
}

// Rows is how many values there are, the missing ones included.
func (d *Distribution) Rows() (n int64) {
	n = d.Missing + d.Infinite[0] + d.Infinite[1]
	for _, b := range d.Buckets {
		n += b
	}
	if d.Numbers != nil {
		n += d.Numbers.Count()
	}
	return n
}

// Clone returns a copy.
func (d *Distribution) Clone() *Distribution {
	out := NewTexts()
	if d.Numbers != nil {
		out = NewNumbers()
	}
	out.Merge(d)
	return out
}

// Merge adds the values of o, which are of the same kind.
func (d *Distribution) Merge(o *Distribution) {
	d.Missing += o.Missing
	d.Infinite[0] += o.Infinite[0]
	d.Infinite[1] += o.Infinite[1]
	if d.Numbers != nil && o.Numbers != nil {
		d.Numbers.Most = mostNumbers // which JSON does not say
		d.Numbers.Merge(o.Numbers)
	}
	for i, n := range o.Buckets {
		d.Buckets[i] += n
	}
	if o.Many {
		d.Texts, d.Many = nil, true
	}
	if d.bytes == 0 {
		for text := range d.Texts {
			d.bytes += len(text)
		}
	}
	for text, n := range o.Texts {
		d.name(text, n)
	}
}

// Check reports a distribution that no values have.
func (d *Distribution) Check() error {
	if (d.Numbers == nil) != (len(d.Buckets) == Buckets) || d.Numbers != nil && d.Texts != nil {
		return errors.New("it is of neither numbers nor texts")
	}
	if d.Missing < 0 || d.Infinite[0] < 0 || d.Infinite[1] < 0 || len(d.Texts) > mostTexts {
		return fmt.Errorf("%d missing, %v infinite, %d texts", d.Missing, d.Infinite, len(d.Texts))
	}
	return nil
}
