package metric

// Moments are the count, mean and sum of squared distances from the mean of a
// series, updated by Welford's method and merged by that of Chan, Golub and
// LeVeque (1979): no large sums are subtracted from each other. The result
// depends on the order of values and merges only.
type Moments struct {
	Count   int64   `json:"count"`
	Mean    float64 `json:"mean"`
	Squares float64 `json:"squares"` // sum of (x-mean)^2
}

// Add adds one value.
func (m *Moments) Add(x float64) {
	m.Count++
	d := x - m.Mean
	m.Mean += d / float64(m.Count)
	m.Squares += float64(d * (x - m.Mean))
}

// Merge adds the values that other saw after m's.
func (m *Moments) Merge(other Moments) {
	if other.Count == 0 {
		return
	}
	if m.Count == 0 {
		*m = other
		return
	}
	n := m.Count + other.Count
	d := other.Mean - m.Mean
	share := float64(other.Count) / float64(n)
	m.Squares += other.Squares + float64(float64(d*d)*float64(float64(m.Count)*share))
	m.Mean += float64(d * share)
	m.Count = n
}
