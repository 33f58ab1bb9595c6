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

// MaxParts bounds the fields of one request that take memory of their own: an empty message of
// two bytes becomes some two hundred. The poll of a worker with 4,096 tasks has 16,000.
const MaxParts = 32 << 10

// MaxElements is MaxParts of requests for predictions, where parts are the texts of tensors.
const MaxElements = 1 << 20

// Bounded returns the options of a handler that reads requests of at most so many bytes, also
// once they are decompressed, and of at most so many parts.
func Bounded(bytes, parts int) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithReadMaxBytes(bytes),
		connect.WithCompression("gzip", func() connect.Decompressor { return &boundedGzip{most: bytes} },
			func() connect.Compressor { return gzip.NewWriter(io.Discard) }),
		connect.WithCodec(boundedCodec{name: "proto", parts: parts}),
		connect.WithCodec(boundedCodec{name: "json", parts: parts}),
		connect.WithCodec(boundedCodec{name: "json; charset=utf-8", parts: parts}),
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
type boundedCodec struct {
	name  string
	parts int
}

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
	if c.binary() {
		return Unmarshal(data, m, c.parts)
	}
	switch {
	case countValues(data) > c.parts:
		return tooMany(c.parts)
	case len(data) == 0:
		return errors.New("no bytes are no JSON object")
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
		return fmt.Errorf("%.*s", maxFlawBytes, err.Error()) // it quotes whole values
	}
	return nil
}

// Unmarshal reads a message that has at most so many parts.
func Unmarshal(data []byte, m proto.Message, parts int) error {
	if left := parts; !counted(data, m.ProtoReflect().Descriptor(), &left) {
		return tooMany(parts)
	}
	return proto.Unmarshal(data, m)
}

func tooMany(parts int) error {
	return fmt.Errorf("the request has more than %d fields, texts and items", parts)
}

func notMessage(message any) error { return fmt.Errorf("%T is no message", message) }

// counted takes the texts, bytes and messages in a message off what is left, until there are too
// many. What is malformed ends the count: the library refuses it.
func counted(data []byte, of protoreflect.MessageDescriptor, left *int) bool {
	for len(data) > 0 && *left >= 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			break
		}
		data = data[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, typ, data); n < 0 {
				break
			}
			data = data[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(data)
		if n < 0 {
			break
		}
		data = data[n:]
		*left--
		// What requests hold is never of its own kind, so that the depth is that of the schema.
		if f := of.Fields().ByNumber(number); f != nil && f.Message() != nil {
			counted(value, f.Message(), left)
		}
	}
	return *left >= 0
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
