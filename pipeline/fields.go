package pipeline

import (
	"reflect"
	"strings"
)

// field is a field of a struct.
type field struct {
	name  string // in YAML
	value reflect.Value
	tag   reflect.StructTag
}

// fields lists the fields of a struct in order: those of inlined structs too,
// and of an inlined choice the entry chosen. Those of another choice are its
// type and its options.
func fields(of reflect.Value) []field {
	var out []field
	if of.Type() == choiceType {
		c := of.Interface().(Choice)
		out = append(out, field{c.key(), of.Field(0), `yaml:",omitempty" json:",omitempty"`})
		if c.Options != nil {
			out = append(out, fields(reflect.ValueOf(c.Options).Elem())...)
		}
		return out
	}
	for i := range of.NumField() {
		f, v := of.Type().Field(i), of.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" && f.Type == choiceType:
			if c := v.Interface().(Choice); c.Options != nil {
				out = append(out, field{c.Name, reflect.ValueOf(c.Options), `yaml:",omitempty" json:",omitempty"`})
			}
		case options == "inline":
			out = append(out, fields(v)...)
		case name != "":
			out = append(out, field{name, v, f.Tag})
		}
	}
	return out
}
