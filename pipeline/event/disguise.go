package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/thalweg/thalweg/pipeline/spelling"
)

// disguises are what events are found to be instead of text, by how they begin.
var disguises = []struct{ begin, what string }{
	{"\xef\xbb\xbf", "it begins with a byte order mark: write UTF-8 without one"},
	{"\xff\xfe", "it is UTF-16: write UTF-8"},
	{"\xfe\xff", "it is UTF-16: write UTF-8"},
	{"\x1f\x8b", "it is compressed with gzip: let the producer compress batches (compression.type) and not the event"},
	{"\x28\xb5\x2f\xfd", "it is compressed with zstd: let the producer compress batches (compression.type) and not the event"},
	{"\x04\x22\x4d\x18", "it is compressed with lz4: let the producer compress batches (compression.type) and not the event"},
	{"\xff\x06\x00\x00sNaPpY", "it is compressed with snappy: let the producer compress batches (compression.type) and not the event"},
	{"Obj\x01", "it is a container file of Avro: write one record an event"},
	{"PAR1\x15", "it is a Parquet file: write one row an event"},
	{"\xac\xed\x00\x05", "it is an object as Java serializes it: choose a serializer of JSON"},
	{"\x03\x00", "it is in the framing of the AWS Glue schema registry: choose a serializer without a registry"},
	{"\x03\x05", "it is in the framing of the AWS Glue schema registry: choose a serializer without a registry"},
}

// disguise says what an event is that should be text and is something else, as
// far as its first bytes tell; "" if they do not.
func (d *Cells) disguise(b []byte) string {
	if len(b) < 2 || b[0] >= ' ' && b[0] < 0x80 && b[0] != '(' && b[1] != 0 && b[0] != 'O' && b[0] != 'P' {
		return ""
	}
	for _, of := range disguises {
		if bytes.HasPrefix(b, []byte(of.begin)) {
			return of.what
		}
	}
	switch {
	case len(b)%2 == 0 && (b[0] == 0) != (b[1] == 0) && b[0]|b[1] < 0x80 && (len(b) < 4 || (b[0] == 0) == (b[2] == 0) && (b[1] == 0) == (b[3] == 0)):
		return "it is UTF-16 without a byte order mark: write UTF-8"
	case b[0] == 0 && len(b) >= wireHeader:
		here := ""
		if !d.cfg.Private {
			here = fmt.Sprintf(", here %d", binary.BigEndian.Uint32(b[1:]))
		}
		return "it is in the framing of a schema registry, a zero and the id of a schema" + here +
			": read it with format {type: avro, schema_registry: NAME}, or choose a serializer without a registry"
	}
	return ""
}

// maxNames bounds the fields that are looked at to say what an event is.
const maxNames = 32

// none says of an event with fields of these names, of which none is a column's,
// what it may be; "" where settle knows better.
func (d *Cells) none(names []string) (reason, cause string) {
	const none = "the event has none of the columns"
	has := func(name string) bool { return slices.Contains(names, name) }
	switch {
	case has("schema") && has("payload"):
		return none + `: it is the envelope of Kafka Connect's JsonConverter, with the row in field "payload": set value.converter.schemas.enable=false, ` +
			`and if payload has before and after, let Debezium's transform ExtractNewRecordState unwrap it`, none + ": an envelope of Kafka Connect"
	case has("after") && (has("before") || has("op")):
		return none + `: it is the envelope of Debezium, with the row in field "after": let its transform ExtractNewRecordState unwrap it`, none + ": an envelope of Debezium"
	case len(d.lacks) > 0:
		return "", "" // a column that its schema lacks says more
	case len(names) == 0:
		return none + ": it has no fields", none
	}
	if d.cfg.Private {
		return none, none // its fields may be anything
	}
	var free []string
	for i := range d.cols {
		if c := &d.cols[i]; !c.skip && c.from == nil {
			free = append(free, c.name)
		}
	}
	for _, name := range names {
		if near := spelling.Nearest(name, slices.Values(free)); near != "" {
			return fmt.Sprintf("%s: field %q is nearly column %q", none, name, near), none
		}
	}
	shown := names[:min(len(names), 5)]
	for i, name := range shown {
		shown[i] = fmt.Sprintf("%.40q", name)
	}
	more := ""
	if len(names) > len(shown) {
		more = ", …"
	}
	return fmt.Sprintf("%s: its fields are %s%s", none, strings.Join(shown, ", "), more), none
}
