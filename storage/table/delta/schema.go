package delta

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/arrowtype"
)

// Field is one column of a table.
type Field struct {
	Name     string         `json:"name"`
	Type     FieldType      `json:"type"`
	Nullable bool           `json:"nullable"`
	Metadata map[string]any `json:"metadata"`
}

// FieldType is the type of a column: the name of a primitive type (string,
// long, integer, double, float, boolean, timestamp, date), or the JSON of
// a nested one, which other writers may have added.
type FieldType string

// The primitive types that files of rows have.
const (
	String    FieldType = "string"
	Long      FieldType = "long"
	Integer   FieldType = "integer"
	Double    FieldType = "double"
	Float     FieldType = "float"
	Boolean   FieldType = "boolean"
	Timestamp FieldType = "timestamp"
	Date      FieldType = "date"
)

// MarshalJSON writes a primitive type as a string, a nested one as it is.
func (t FieldType) MarshalJSON() ([]byte, error) {
	if len(t) > 0 && t[0] == '{' {
		return []byte(t), nil
	}
	return json.Marshal(string(t))
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (t *FieldType) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		*t = FieldType(data)
		// A list of ours is the same text whoever wrote it last.
		var list listType
		if err := json.Unmarshal(data, &list); err == nil && list.Type == "array" && list.ContainsNull {
			*t = list.fieldType()
		}
		return nil
	}
	return json.Unmarshal(data, (*string)(t))
}

// listType is the type of a list of values of a primitive type.
type listType struct {
	Type         string `json:"type"`
	ElementType  string `json:"elementType"`
	ContainsNull bool   `json:"containsNull"`
}

func (l listType) fieldType() FieldType {
	text, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and a bool
	}
	return FieldType(text)
}

// Schema is the columns of a table, in order.
type Schema []Field

// String returns the schema in the protocol's serialization format.
func (s Schema) String() string {
	for i := range s {
		if s[i].Metadata == nil {
			s[i].Metadata = map[string]any{}
		}
	}
	text, err := json.Marshal(struct {
		Type   string `json:"type"`
		Fields Schema `json:"fields"`
	}{"struct", s})
	if err != nil {
		panic(err) // strings, bools and JSON that was parsed
	}
	return string(text)
}

// ParseSchema is the inverse of String.
func ParseSchema(text string) (Schema, error) {
	var parsed struct {
		Type   string `json:"type"`
		Fields Schema `json:"fields"`
	}
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		return nil, corrupt("parse table schema", "", err)
	}
	if parsed.Type != "struct" || len(parsed.Fields) > MaxSchemaFields {
		return nil, corrupt("parse table schema", "", fmt.Errorf("type %.20q of %d fields", parsed.Type, len(parsed.Fields)))
	}
	seen := make(map[string]bool, len(parsed.Fields))
	for _, f := range parsed.Fields {
		if f.Name == "" || f.Type == "" || seen[f.Name] {
			return nil, corrupt("parse table schema", f.Name, errors.New("a field without a name or a type or duplicated"))
		}
		seen[f.Name] = true
	}
	return parsed.Fields, nil
}

// SchemaOf returns the columns of a file of rows. All are nullable, so that
// later files may lack them. Unsupported names the column that a table cannot
// have.
func SchemaOf(file *arrow.Schema) (Schema, error) {
	s := make(Schema, 0, file.NumFields())
	for _, f := range file.Fields() {
		t, ok := typeOf(f.Type)
		if !ok {
			return nil, &thalweg.Error{Op: "make table schema", Kind: thalweg.Unsupported, Subject: "column " + f.Name,
				Err: fmt.Errorf("a table has no %s", arrowtype.Name(f.Type))}
		}
		s = append(s, Field{Name: f.Name, Type: t, Nullable: true})
	}
	return s, nil
}

func typeOf(t arrow.DataType) (FieldType, bool) {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return typeOf(t.ValueType)
	case *arrow.StringType:
		return String, true
	case *arrow.Int64Type:
		return Long, true
	case *arrow.Int32Type:
		return Integer, true
	case *arrow.Float64Type:
		return Double, true
	case *arrow.Float32Type:
		return Float, true
	case *arrow.BooleanType:
		return Boolean, true
	case *arrow.TimestampType:
		return Timestamp, t.TimeZone != "" // without a zone it is a table feature of its own
	case *arrow.ListType:
		element, ok := typeOf(t.Elem())
		return listType{"array", string(element), true}.fieldType(), ok && !arrow.IsNested(t.Elem().ID())
	}
	return "", false
}

// With returns the schema that has s's columns and those of file, and whether
// that is another than s. A column that file lacks stays (its rows are null
// there); one that s lacks is added before the partition columns, which come
// last. A column of another type, and one whose name differs from another's in
// case only, is refused by name: every reader would fail on it.
func (s Schema) With(file Schema, partitions int) (Schema, bool, error) {
	have := make(map[string]FieldType, len(s))
	folded := make(map[string]string, len(s)) // names, by their lower case
	for _, f := range s {
		have[f.Name], folded[strings.ToLower(f.Name)] = f.Type, f.Name
	}
	var added Schema
	for _, f := range file {
		switch t, ok := have[f.Name]; {
		case !ok:
			if other, taken := folded[strings.ToLower(f.Name)]; taken {
				return nil, false, &thalweg.Error{Op: "evolve table schema", Kind: thalweg.Conflict, Subject: "column " + f.Name,
					Err:  fmt.Errorf("it differs from column %s in case only, which readers do not tell apart", other),
					Hint: "name one of them otherwise, or give the pipeline a new sink path"}
			}
			have[f.Name], folded[strings.ToLower(f.Name)] = f.Type, f.Name
			added = append(added, f)
		case t != f.Type:
			return nil, false, &thalweg.Error{Op: "evolve table schema", Kind: thalweg.Conflict, Subject: "column " + f.Name,
				Err:  fmt.Errorf("it is %s now, %s in the table", f.Type, t),
				Hint: "a column of a table keeps its type: name the new one otherwise, or give the pipeline a new sink path"}
		}
	}
	if len(added) == 0 {
		return s, false, nil
	}
	at := len(s) - partitions
	out := append(Schema{}, s[:at]...)
	out = append(out, added...)
	return append(out, s[at:]...), true, nil
}

// invariants names a column that every writer has to check, "" if there is
// none.
func (s Schema) invariants() string {
	for _, f := range s {
		for key := range f.Metadata {
			switch key {
			case "delta.invariants", "delta.generationExpression", "delta.identity.start":
				return f.Name
			}
		}
	}
	return ""
}
