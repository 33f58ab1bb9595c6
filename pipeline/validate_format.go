package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/thalweg/thalweg/pipeline/table"
)

// isEventFormat reports whether a format is one of events only.
func isEventFormat(format string) bool {
	return format == formatJSON || format == formatCSV || format == formatAvro
}

// formatOptions are the fields of a Format besides its type: the formats that
// each belongs to, and whether it is set.
var formatOptions = []struct {
	name    string
	formats []string // none: a sink's
	isSet   func(Format) bool
}{
	{"on_unknown_field", []string{formatJSON, formatAvro}, func(f Format) bool { return f.OnUnknownField != "" }},
	{"timestamp_formats", []string{formatJSON, formatCSV, formatAvro}, func(f Format) bool { return len(f.TimestampFormats) > 0 }},
	{"delimiter", []string{formatCSV}, func(f Format) bool { return f.Delimiter != "" }},
	{"columns", []string{formatCSV}, func(f Format) bool { return len(f.Columns) > 0 }},
	{"null_text", []string{formatCSV}, func(f Format) bool { return f.NullText != nil }},
	{"schema_registry", []string{formatAvro}, func(f Format) bool { return f.SchemaRegistry != "" }},
	{"schema_file", []string{formatAvro}, func(f Format) bool { return f.SchemaFile != "" }},
	{"compression", nil, func(f Format) bool { return f.Compression != "" }},
}

// plainFormat checks that the options of a file's format are its own.
func (v validator) plainFormat(path string, f Format) {
	for _, o := range formatOptions {
		switch {
		case !o.isSet(f) || o.formats == nil && strings.HasPrefix(path, "spec.scoring"):
		case o.formats == nil:
			v.Problem(path+".format."+o.name, "", "the field belongs to a sink")
		default:
			v.Problem(path+".format."+o.name, "", "the field belongs to the format of events")
		}
	}
}

// eventFormat checks the options of the format of events.
func (v validator) eventFormat(path string, f Format) {
	for _, o := range formatOptions {
		switch {
		case !o.isSet(f) || slices.Contains(o.formats, f.Type):
		case o.formats == nil:
			v.Problem(path+"."+o.name, "", "the field belongs to a sink")
		case o.name == "on_unknown_field" && f.Type == formatCSV:
			v.Problem(path+"."+o.name, "list all fields in columns", "csv events have no names of fields")
		case isEventFormat(f.Type):
			v.Problem(path+"."+o.name, "", "the field belongs to %s events", strings.Join(o.formats, " and "))
		}
	}
	for i, layout := range f.TimestampFormats {
		v.timestampFormat(fmt.Sprintf("%s.timestamp_formats[%d]", path, i), layout)
	}
	switch f.Type {
	case formatCSV:
		v.csv(path, f)
	case formatAvro:
		switch {
		case f.SchemaRegistry == "" && f.SchemaFile == "":
			v.Problem(path, "", "avro needs schema_registry, or schema_file")
		case f.SchemaRegistry != "" && f.SchemaFile != "":
			v.Problem(path+".schema_file", "", "only one of schema_registry and schema_file can be there")
		}
		if strings.Contains(f.SchemaRegistry, "://") {
			v.Problem(path+".schema_registry", "name a connection that an operator registered", "an address has no place in a spec")
		}
		if f.SchemaFile != "" {
			v.path(path+".schema_file", f.SchemaFile)
		}
	}
}

func (v validator) csv(path string, f Format) {
	if d := f.Delimiter; len(d) != 1 || d[0] >= 0x80 || strings.ContainsAny(d, "\"\r\n\x00") {
		v.Problem(path+".delimiter", `"," or "\t"`, "%q is not one ASCII character other than a quote and line ends", d)
	}
	if f.NullText != nil && strings.ContainsAny(*f.NullText, f.Delimiter+"\"\r\n") {
		v.Problem(path+".null_text", "", "%q cannot be a field without quotes", *f.NullText)
	}
	for i, name := range f.Columns {
		at := fmt.Sprintf("%s.columns[%d]", path, i)
		if name == "" {
			v.Problem(at, "", "the field is empty")
		} else if first := slices.Index(f.Columns, name); first < i {
			v.Problem(at, fmt.Sprintf("columns[%d] has it too", first), "a second column of the name %s", name)
		}
	}
}

// timestampFormat checks that a layout tells a date when it is written and read
// again.
func (v validator) timestampFormat(path, layout string) {
	if layout == "rfc3339" || layout == "epoch_ms" {
		return
	}
	at := time.Date(2021, 3, 4, 17, 16, 15, 0, time.UTC)
	if back, err := time.Parse(layout, at.Format(layout)); err != nil || back.YearDay() != at.YearDay() || back.Year() != at.Year() {
		v.Problem(path, `write rfc3339, epoch_ms, or a layout of Go's time package: "2006-01-02 15:04:05"`, "%q is not a layout with a date", layout)
	}
}

// columnFrom checks that a column can be filled from the record around an event.
func (v validator) columnFrom(path string, c ColumnSpec) {
	want := c.Type
	switch c.From {
	case "":
		return
	case "timestamp":
		want = table.Timestamp
	case "offset", "partition":
		want = table.Int64
	}
	if c.Type != want {
		v.Problem(path, "declare the column as "+string(want), "the %s of a record is of type %s, not %s", c.From, want, c.Type)
	}
	if len(c.AvailableIn) > 0 && !slices.Contains(c.AvailableIn, InScoring) {
		v.Problem(path, "leave it out, or add scoring to available_in", "a column of training only is not filled from records")
	}
}
