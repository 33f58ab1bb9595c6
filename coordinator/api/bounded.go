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

// maxNumberBytes bounds what the repeated numbers of one request become: a byte of those that are
// packed may be eight.
const maxNumberBytes = 2 * MaxPredictionBytes

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
	left := budget{parts: parts, numbers: maxNumberBytes}
	left.count(data, m.ProtoReflect().Descriptor())
	switch {
	case left.parts < 0:
		return tooMany(parts)
	case left.numbers < 0:
		return fmt.Errorf("the repeated numbers of the request take more than %d bytes", maxNumberBytes)
	}
	return proto.Unmarshal(data, m)
}

func tooMany(parts int) error {
	return fmt.Errorf("the request has more than %d fields, texts and items", parts)
}

func notMessage(message any) error { return fmt.Errorf("%T is no message", message) }

// budget is what a message may still have.
type budget struct {
	parts   int // texts, bytes and messages
	numbers int // bytes of those that are repeated
}

// count takes what is in a message off what is left, until there is too much. What is malformed
// ends the count: the library refuses it.
func (b *budget) count(data []byte, of protoreflect.MessageDescriptor) {
	for len(data) > 0 && b.parts >= 0 && b.numbers >= 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			break
		}
		data = data[n:]
		f := of.Fields().ByNumber(number)
		if typ != protowire.BytesType {
			if f != nil && f.IsList() {
				b.numbers -= numberBytes(f.Kind())
			}
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
		b.parts--
		// What requests hold is never of its own kind, so that the depth is that of the schema.
		switch {
		case f == nil:
		case f.Message() != nil:
			b.count(value, f.Message())
		case f.IsList() && numberBytes(f.Kind()) > 0:
			b.numbers -= varints(value) * numberBytes(f.Kind())
		}
	}
}

// varints counts those that are packed: each has one byte without the highest bit, its last.
func varints(packed []byte) (n int) {
	for _, c := range packed {
		n += 1 - int(c>>7)
	}
	return n
}

// numberBytes is what a number takes in memory that may be a byte of a message; 0 of other kinds.
func numberBytes(kind protoreflect.Kind) int {
	switch kind {
	case protoreflect.Int64Kind, protoreflect.Uint64Kind, protoreflect.Sint64Kind:
		return 8
	case protoreflect.Int32Kind, protoreflect.Uint32Kind, protoreflect.Sint32Kind, protoreflect.EnumKind:
		return 4
	case protoreflect.BoolKind:
		return 1
	}
	return 0
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
