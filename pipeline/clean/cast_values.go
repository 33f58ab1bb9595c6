package clean

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// The conversions of single values; false says that a value has no form in the
// other type.

func textToInt(s string, _ *time.Location) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}

func textToFloat(s string, _ *time.Location) (float64, bool) { return table.ParseFloat(s) }

func textToBool(s string, _ *time.Location) (bool, bool) {
	switch {
	case s == "1", strings.EqualFold(s, "true"):
		return true, true
	case s == "0", strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

func intToText(v int64) (string, bool) { return strconv.FormatInt(v, 10), true }

// intToFloat rounds to the nearest float64, which is exact up to 2^53.
func intToFloat(v int64) (float64, bool) { return float64(v), true }

func intToBool(v int64) (bool, bool) { return v == 1, v == 0 || v == 1 }

func same(v int64) (int64, bool) { return v, true }

// bitsToText is the text of a float64 by its bits: 0 and -0 are equal, but not
// the same text.
func bitsToText(v int64) (string, bool) {
	text, ok := table.AppendFloat(nil, math.Float64frombits(uint64(v)))
	return string(text), ok
}

func floatToInt(v float64) (int64, bool) {
	// 2^63 itself is no int64; NaN fails both comparisons.
	if !(v >= -1<<63 && v < 1<<63) || v != math.Trunc(v) {
		return 0, false
	}
	return int64(v), true
}

func floatToBool(v float64) (bool, bool) { return v == 1, v == 0 || v == 1 }

// intToBoolText takes the 0 and 1 that stand for bools.
func intToBoolText(v int64) (string, bool) { return strconv.FormatBool(v != 0), true }

// timestampToText returns RFC 3339, which has no form for years past 9999.
func timestampToText(v int64) (string, bool) {
	t := time.UnixMicro(v).UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return "", false
	}
	return t.Format("2006-01-02T15:04:05.999999Z07:00"), true
}
