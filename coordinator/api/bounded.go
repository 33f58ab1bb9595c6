package api

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxParts bounds the fields of one request that take memory of their own: an empty message of
// two bytes becomes some two hundred. The poll of a worker with 4,096 tasks has 16,000.
const maxParts = 32 << 10

// Bounded returns the options of a handler that reads requests of at most so many bytes, also
// once they are decompressed, and of at most maxParts parts.
func Bounded(bytes int) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(bytes),
		connect.WithCompression("gzip", func() connect.Decompressor { return &boundedGzip{most: bytes} },
			func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
		connect.WithCodec(boundedCodec{name: "proto"}),
		connect.WithCodec(boundedCodec{name: "json"}),
		connect.WithCodec(boundedCodec{name: "json; charset=utf-8"}),
	}
}

// boundedGzip reads at most so many bytes of what was compressed: the library would read a bomb
// to its end to tell its size.
type boundedGzip struct {
	gzip.Reader
	most, left int
}

// Reset implements connect.Decompressor.
func (g *boundedGzip) Reset(r io.Reader) error {
	g.left = g.most
	return g.Reader.Reset(r)
}

// Read implements io.Reader.
func (g *boundedGzip) Read(p []byte) (int, error) {
	n, err := g.Reader.Read(p)
	if g.left -= n; g.left < 0 {
		return n, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("the request has more than %d bytes once it is decompressed", g.most))
	}
	return n, err
}

// boundedCodec reads and writes messages as the library's codec of the name does, but counts the
// parts of one before it reads it.
type boundedCodec struct{ name string }

// Name implements connect.Codec.
func (c boundedCodec) Name() string { return c.name }

func (c boundedCodec) binary() bool { return c.name == "proto" }

// Marshal implements connect.Codec.
func (c boundedCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	switch {
	case !ok:
		return nil, notMessage(message)
	case c.binary():
		return proto.Marshal(m)
	}
	return protojson.Marshal(m)
}

// maxFlawBytes is how much is told of what is wrong with the JSON of a message: what reads
// it quotes whole values, which may be as long as a message.
const maxFlawBytes = 512

// Unmarshal implements connect.Codec.
func (c boundedCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return notMessage(message)
	}
	var parts int
	if c.binary() {
		parts = countParts(data, m.ProtoReflect().Descriptor())
	} else {
		parts = countValues(data)
	}
	switch {
	case parts > maxParts:
		return fmt.Errorf("the request has more than %d fields, texts and items", maxParts)
	case c.binary():
		return proto.Unmarshal(data, m)
	case len(data) == 0:
		return errors.New("no bytes are no JSON object")
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		return fmt.Errorf("%.*s", maxFlawBytes, err.Error()) // it quotes whole values
	}
	return nil
}

func notMessage(message any) error { return fmt.Errorf("%T is no message", message) }

// countParts counts the texts, bytes and messages in a message, until there are too many. What
// is malformed ends the count: the library refuses it.
func countParts(data []byte, of protoreflect.MessageDescriptor) (parts int) {
	for len(data) > 0 && parts <= maxParts {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return parts
		}
		data = data[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, typ, data); n < 0 {
				return parts
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return parts
		}
		data = data[n:]
		parts++
		// What requests hold is never of its own kind, so that the depth is that of the schema.
		if f := of.Fields().ByNumber(number); f != nil && f.Message() != nil {
			parts += countParts(value, f.Message())
		}
	}
	return parts
}

// countValues counts the values in a text of JSON by what stands before each.
func countValues(text []byte) (values int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '{' || c == '['):
			values++
		}
	}
	return values
}
