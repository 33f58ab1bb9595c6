// Package terminal is what people and scripts have of a verb: tables, JSON and
// YAML, the progress of runs and what they have measured, plots of curves, the
// files that arguments name, and what is wrong with a flag.
package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/thalweg/thalweg"
)

// UsageError says that a flag or argument has a value that it cannot have.
func UsageError(flag, value, want string) error {
	if value == "" {
		return &thalweg.Error{Op: flag, Kind: thalweg.Invalid, Err: errors.New("is missing"), Hint: "want " + want}
	}
	return &thalweg.Error{Op: flag, Kind: thalweg.Invalid, Subject: fmt.Sprintf("%q", value), Hint: "want " + want}
}

// Print writes value in the format asked for; table renders it for people.
// value is a proto.Message or anything that encoding/json takes.
func Print(w io.Writer, format string, value any, table func(w io.Writer)) error {
	switch format {
	case "table":
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		table(tw)
		return tw.Flush()
	case "json", "yaml":
		data, err := marshalJSON(value)
		if err == nil && format == "yaml" {
			data, err = yaml.JSONToYAML(data)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", bytes.TrimSuffix(data, []byte("\n")))
		return err
	}
	return UsageError("--output", format, "table, json or yaml")
}

// Message is a message of the RPC within a value that is none.
type Message struct{ proto.Message }

// MarshalJSON implements json.Marshaler.
func (m Message) MarshalJSON() ([]byte, error) {
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

// Seconds shows how many seconds long something is that may be days; nothing where it is
// negative, not known.
func Seconds(n float64) string {
	d := time.Duration(n * float64(time.Second))
	switch {
	case n < 0:
		return ""
	case n < 10:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Row writes one line of a table.
func Row(w io.Writer, cells ...any) {
	parts := make([]string, len(cells))
	for i, c := range cells {
		parts[i] = fmt.Sprint(c)
		if parts[i] == "" {
			parts[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(parts, "\t"))
}

// Clock prints a time of a table; zero as a dash.
func Clock(unixMillis int64) string {
	if unixMillis == 0 {
		return "-"
	}
	return time.UnixMilli(unixMillis).UTC().Format("2006-01-02 15:04:05")
}

// Took prints how long something took, or takes by now.
func Took(start, end int64) string {
	switch {
	case start == 0:
		return "-"
	case end == 0:
		end = time.Now().UnixMilli()
	}
	return (time.Duration(end-start) * time.Millisecond).Round(10 * time.Millisecond).String()
}

// Shorten cuts a text to so many characters, on one line and without those that
// a terminal obeys: it is what anybody could put into a topic.
func Shorten(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || unicode.IsSpace(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// CountOrDash prints a count or a number of which 0 says that there is none.
func CountOrDash[N int64 | uint64](n N) string {
	if n == 0 {
		return "-"
	}
	return humanize.Comma(int64(n))
}
