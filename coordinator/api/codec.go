package api

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// maxFlawBytes is how much is told of what is wrong with the JSON of a message: what reads
// it quotes whole values, which may be as long as a message.
const maxFlawBytes = 512

// jsonNames are the content types of JSON that connect knows.
var jsonNames = [...]string{"json", "json; charset=utf-8"}

// BoundedJSON returns the option of a handler that says what is wrong with the JSON of a
// message in a bounded answer.
func BoundedJSON() connect.HandlerOption {
	var all []connect.HandlerOption
	for _, name := range jsonNames {
		all = append(all, connect.WithCodec(jsonCodec{name}))
	}
	return connect.WithHandlerOptions(all...)
}

// jsonCodec is connect's codec of JSON, but for the length of its errors.
type jsonCodec struct{ name string }

// Name implements connect.Codec.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c jsonCodec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", message)
	}
	return protojson.Marshal(m)
}

// Unmarshal implements connect.Codec. A field that this build does not know is left out, so
// that a client may be newer.
func (c jsonCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", message)
	}
	err := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, m)
	if err != nil {
		err = fmt.Errorf("%.*s", maxFlawBytes, err.Error())
	}
	return err
}
