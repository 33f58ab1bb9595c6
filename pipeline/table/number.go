package table

import (
	"math"
	"strconv"
	"strings"
)

// ParseFloat returns the float64 nearest to a decimal text. Those that
// strconv.ParseFloat knows besides have no form: NaN, Inf, 0x1p-2 and 1_000.
func ParseFloat(s string) (v float64, ok bool) {
	if strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

// AppendFloat appends the shortest decimal text that reads back as v, with an
// exponent below 1e-6 and from 1e21 on, as encoding/json does. ok is false where
// v is not finite: it has no text.
func AppendFloat(dst []byte, v float64) (text []byte, ok bool) {
	if v-v != 0 {
		return dst, false
	}
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, v, format, -1, 64), true
}
