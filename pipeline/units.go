package pipeline

import (
	"cmp"
	"encoding"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/thalweg/thalweg"
)

// Duration is a time.Duration spelled as 200ms, 60s, 30m.
type Duration time.Duration

// UnmarshalText reads the form of time.ParseDuration, and days of 24 hours before it: 200ms,
// 1m30s, 7d, 1d12h.
func (d *Duration) UnmarshalText(text []byte) error {
	const day = 24 * time.Hour
	days, rest, ok := strings.Cut(string(text), "d")
	n, err := uint64(0), error(nil)
	if ok {
		n, err = strconv.ParseUint(days, 10, 16) // 179 years
		rest = cmp.Or(rest, "0")
	} else {
		rest = days
	}
	v, wrong := time.ParseDuration(rest)
	if err != nil || wrong != nil || ok && (v < 0 || v >= day) {
		return fmt.Errorf("%q is not a duration", text)
	}
	*d = Duration(time.Duration(n)*day + v)
	return nil
}

// String returns the shortest form: 1m, not 1m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ByteSize is a number of bytes spelled as 8MiB, 128MB or 4096.
type ByteSize int64

// byteUnits are the units of sizes, the largest first; an exact binary multiple
// is preferred.
var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// UnmarshalText reads a whole number with a unit (B, KB, MB, GB, TB, KiB, MiB,
// GiB, TiB) or without.
func (b *ByteSize) UnmarshalText(text []byte) error {
	s := string(text)
	digits, unit := s, int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimRight(rest, " "), u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a size in bytes", s)
	}
	*b = ByteSize(n * unit)
	return nil
}

// String returns the largest unit that divides the size: 8MiB, 128MB, 4096.
func (b ByteSize) String() string {
	if b > 0 {
		for _, u := range byteUnits {
			if u.size > 1 && int64(b)%u.size == 0 {
				return strconv.FormatInt(int64(b)/u.size, 10) + u.name
			}
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Percent is a share spelled as 5% or 0.1%; 5% is 5.
type Percent float64

// UnmarshalText reads a decimal number followed by %.
func (p *Percent) UnmarshalText(text []byte) error {
	digits, ok := strings.CutSuffix(string(text), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || math.IsNaN(v) || math.IsInf(v, 0) || strings.ContainsAny(digits, "xX_pPeE+") {
		return fmt.Errorf("%q is not a percentage", text)
	}
	*p = Percent(v)
	return nil
}

// Share returns the percentage as a part of one: 0.05 for 5%.
func (p Percent) Share() float64 { return float64(p) / 100 }

// String returns the shortest decimal form: 5%, 0.1%.
func (p Percent) String() string { return strconv.FormatFloat(float64(p), 'f', -1, 64) + "%" }

// MarshalText implements encoding.TextMarshaler.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Factor is a positive number, or auto, which is AutoFactor; 0 where there is none.
type Factor float64

// AutoFactor is the Factor that follows from the training rows.
const AutoFactor Factor = -1

// UnmarshalText reads a number or auto.
func (f *Factor) UnmarshalText(text []byte) error {
	if string(text) == auto {
		*f = AutoFactor
		return nil
	}
	v, err := strconv.ParseFloat(string(text), 32)
	if err != nil || !(v > 0) || v > math.MaxFloat32 {
		return fmt.Errorf("%q is neither a number above 0 nor auto", text)
	}
	*f = Factor(v)
	return nil
}

// String returns the number, or auto.
func (f Factor) String() string {
	if f == AutoFactor {
		return auto
	}
	return strconv.FormatFloat(float64(f), 'g', -1, 64)
}

// MarshalText implements encoding.TextMarshaler.
func (f Factor) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Count is a whole number from 1 on, or auto, which is 0: it follows from the
// training rows.
type Count int

const auto = "auto"

// UnmarshalText reads a number or auto.
func (c *Count) UnmarshalText(text []byte) error {
	if string(text) == auto {
		*c = 0
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || n < 1 {
		return fmt.Errorf("%q is neither a whole number from 1 on nor auto", text)
	}
	*c = Count(n)
	return nil
}

// String returns the number, or auto.
func (c Count) String() string {
	if c == 0 {
		return auto
	}
	return strconv.Itoa(int(c))
}

// MarshalText implements encoding.TextMarshaler.
func (c Count) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// WarmStart says which version of the model training starts from: FromNone, FromChampion,
// or the number of one.
type WarmStart int64

// The values of a WarmStart that are no numbers of versions.
const (
	FromNone     WarmStart = 0
	FromChampion WarmStart = -1
)

// UnmarshalText reads none, champion or a number.
func (w *WarmStart) UnmarshalText(text []byte) error {
	switch string(text) {
	case "none":
		*w = FromNone
	case thalweg.DefaultAlias:
		*w = FromChampion
	default:
		n, err := strconv.ParseInt(string(text), 10, 32)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is neither none, champion nor the number of a version", text)
		}
		*w = WarmStart(n)
	}
	return nil
}

// String returns the number of a version, champion or none.
func (w WarmStart) String() string {
	switch w {
	case FromNone:
		return "none"
	case FromChampion:
		return thalweg.DefaultAlias
	}
	return strconv.FormatInt(int64(w), 10)
}

// MarshalText implements encoding.TextMarshaler.
func (w WarmStart) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// ClassWeights are how much rows weigh, by class: of the class "" those of each.
type ClassWeights map[string]Factor

// Of returns the weight of a class, 0 where it has none.
func (w ClassWeights) Of(class string) Factor {
	if of, ok := w[class]; ok {
		return of
	}
	return w[""]
}

// decodeShort implements shortForm: the word auto, for each class.
func (w *ClassWeights) decodeShort(_ *decoder, n ast.Node, _ string) bool {
	text, ok := n.(*ast.StringNode)
	if ok = ok && text.Value == auto; ok {
		*w = ClassWeights{"": AutoFactor}
	}
	return ok
}

// short implements shortened.
func (w ClassWeights) short() (reflect.Value, bool) {
	_, each := w[""]
	return reflect.ValueOf(auto), each
}

// ToNumber returns a scalar of YAML as a float64.
func ToNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// plainNumber is a number in YAML's core schema, of which the library takes 1e-3
// and those beyond 64 bits for strings; oddZeros is an integer that is octal to
// some readers of YAML and decimal to others.
var (
	plainNumber = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	oddZeros    = regexp.MustCompile(`^[-+]?0[0-9_]+$`)
)

// isNumber reports whether a node is a number.
func isNumber(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		return true
	case *ast.StringNode:
		return n.Token.Type == token.StringType && plainNumber.MatchString(n.Value)
	}
	return false
}

// shown says what a node is, a scalar by its value unless it may be a secret.
func (d *decoder) shown(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	if d.secret {
		return "this value"
	}
	switch n := n.(type) {
	case *ast.StringNode:
		if !isNumber(n) {
			return quoteShort(n.Value)
		}
	case *ast.LiteralNode:
		return quoteShort(n.Value.Value)
	}
	return n.GetToken().Value
}

// quoteShort quotes the beginning of a string.
func quoteShort(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return strconv.Quote(s)
}

// scalar decodes a value that is no mapping and no list.
func (d *decoder) scalar(n ast.Node, path string, into reflect.Value) {
	if into.Kind() != reflect.String && isNumber(n) && oddZeros.MatchString(n.GetToken().Value) {
		d.problem(n, path, "", "write the number without a zero in front, or in quotes if it is a text: %s", d.shown(n))
		return
	}
	switch into := into.Addr().Interface().(type) {
	case *Duration:
		d.unit(n, path, "a duration such as 200ms or 1m", into)
		return
	case *ByteSize:
		d.unit(n, path, "a size such as 8MiB or 4096", into)
		return
	case *Count:
		d.unit(n, path, "a whole number from 1 on, or auto,", into)
		return
	case *Factor:
		d.unit(n, path, "a number above 0, or auto,", into)
		return
	case *WarmStart:
		d.unit(n, path, "none, champion or the number of a version", into)
		return
	case *Limit:
		d.unit(n, path, "a limit in quotes such as \"> 100\" or \"> 0.1%\"", into)
		return
	case *Percent:
		d.unit(n, path, "a percentage such as 5%", into)
		return
	}
	switch into.Kind() {
	case reflect.String:
		d.text(n, path, into)
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			into.SetBool(b.Value)
			return
		}
		d.wrong(n, path, "true or false belongs here")
	case reflect.Int, reflect.Uint64:
		d.integer(n, path, into)
	case reflect.Float64:
		if v, ok := number(n); ok {
			into.SetFloat(v)
			return
		}
		d.wrong(n, path, "a number belongs here")
	case reflect.Interface:
		v, ok := anyScalar(n)
		_, whole := n.(*ast.IntegerNode)
		if text := fmt.Sprint(v); whole && n.GetToken().Value != text {
			d.problem(n, path, "", "write %s, or put it in quotes if it is a text: %s", text, d.shown(n))
			return
		}
		if ok {
			into.Set(reflect.ValueOf(v))
			return
		}
		d.wrong(n, path, "a string, number or bool belongs here")
	}
}

// wrong notes a value of the wrong type.
func (d *decoder) wrong(n ast.Node, path, want string) {
	d.problem(n, path, "", "%s, not %s", want, d.shown(n))
}

func (d *decoder) text(n ast.Node, path string, into reflect.Value) {
	_, isBool := n.(*ast.BoolNode)
	if isBool || isNumber(n) {
		d.problem(n, path, "put it in quotes", "a string belongs here, not %s", d.shown(n))
		return
	}
	switch n := n.(type) {
	case *ast.StringNode:
		into.SetString(n.Value)
		return
	case *ast.LiteralNode:
		into.SetString(n.Value.Value)
		return
	}
	d.wrong(n, path, "a string belongs here")
}

func (d *decoder) unit(n ast.Node, path, want string, into encoding.TextUnmarshaler) {
	var text string
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.IntegerNode:
		text = n.GetToken().Value
	case *ast.FloatNode:
		if _, fits := into.(*Factor); !fits {
			d.wrong(n, path, want+" belongs here")
			return
		}
		text = n.GetToken().Value
	default:
		d.wrong(n, path, want+" belongs here")
		return
	}
	if err := into.UnmarshalText([]byte(text)); err != nil {
		d.problem(n, path, "", "%s belongs here, not %s", want, strconv.Quote(text))
	}
}

func (d *decoder) integer(n ast.Node, path string, into reflect.Value) {
	v, _ := anyScalar(n)
	i, small := v.(int64)
	u, large := v.(uint64)
	switch {
	case !small && !large:
		d.wrong(n, path, "a whole number belongs here")
	case small && into.CanInt() && !into.OverflowInt(i):
		into.SetInt(i)
	case small && into.CanUint() && i >= 0:
		into.SetUint(uint64(i))
	case large && into.CanUint():
		into.SetUint(u)
	default:
		d.problem(n, path, "", "the number is out of range")
	}
}

// number returns a finite number.
func number(n ast.Node) (float64, bool) {
	v, ok := anyScalar(n)
	if !ok {
		return 0, false
	}
	return ToNumber(v)
}

// anyScalar returns a string, bool, int64, uint64 beyond that, or finite float64.
func anyScalar(n ast.Node) (any, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		if isNumber(n) {
			v, err := strconv.ParseFloat(n.Value, 64)
			return v, err == nil
		}
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.BoolNode:
		return n.Value, true
	case *ast.FloatNode:
		return n.Value, !math.IsInf(n.Value, 0) && !math.IsNaN(n.Value)
	case *ast.IntegerNode:
		if v, ok := n.Value.(uint64); ok && v <= math.MaxInt64 {
			return int64(v), true
		}
		return n.Value, true
	}
	return nil, false
}
