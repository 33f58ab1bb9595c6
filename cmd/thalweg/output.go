package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
)

// usageError says that a flag or argument has a value that it cannot have.
func usageError(flag, value, want string) error {
	if value == "" {
		return &thalweg.Error{Op: flag, Kind: thalweg.Invalid, Err: errors.New("is missing"), Hint: "want " + want}
	}
	return &thalweg.Error{Op: flag, Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", value), Hint: "want " + want}
}

// print writes value in the format asked for; table renders it for people.
// value is a proto.Message or anything that encoding/json takes.
func (g *globals) print(w io.Writer, value any, table func(w io.Writer)) error {
	switch g.output {
	case "table":
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		table(tw)
		return tw.Flush()
	case "json", "yaml":
		data, err := marshalJSON(value)
		if err == nil && g.output == "yaml" {
			data, err = yaml.JSONToYAML(data)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", bytes.TrimSuffix(data, []byte("\n")))
		return err
	}
	return usageError("--output", g.output, "table, json or yaml")
}

// message is a message of the RPC within a value that is none.
type message struct{ proto.Message }

// MarshalJSON implements json.Marshaler.
func (m message) MarshalJSON() ([]byte, error) {
	return protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m.Message)
}

func marshalJSON(value any) ([]byte, error) {
	if m, ok := value.(proto.Message); ok {
		data, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
		if err != nil {
			return nil, err
		}
		// protojson varies its white space on purpose; indent it anew.
		var v any
		if err := json.Unmarshal(data, &v); err != nil {
			return nil, err
		}
		value = v
	}
	return json.MarshalIndent(value, "", "  ")
}

// row writes one line of a table.
func row(w io.Writer, cells ...any) {
	parts := make([]string, len(cells))
	for i, c := range cells {
		parts[i] = fmt.Sprint(c)
		if parts[i] == "" {
			parts[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(parts, "\t"))
}

// clock prints a time of a table; zero as a dash.
func clock(unixMillis int64) string {
	if unixMillis == 0 {
		return "-"
	}
	return time.UnixMilli(unixMillis).UTC().Format("2006-01-02 15:04:05")
}
