package kafka

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/connectors"
)

// topicID is what Kafka knows a topic by, since 2.8. A topic that is deleted
// and made anew under its name has another.
type topicID [16]byte

// String returns 32 hex digits, nothing for the zero ID.
func (id topicID) String() string {
	if id == (topicID{}) {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// parseTopicID is the inverse of topicID.String.
func parseTopicID(text string) (id topicID, err error) {
	if text == "" {
		return id, nil
	}
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, &thalweg.Error{Op: "read topic ID", Kind: thalweg.Invalid, Subject: fmt.Sprintf("%.40q", text), Hint: "32 hex digits"}
	}
	return topicID(raw), nil
}

// idMetadataVersion is the first version of Metadata that tells topic IDs.
// kafka-go knows those up to 8.
const idMetadataVersion = 10

// maxMetadataBytes bounds the answer to a question about one topic: a topic
// with all partitions that the rest of Thalweg can take, and room.
const maxMetadataBytes = 16 << 20

// versions are the newest that a broker speaks.
type versions struct{ fetch, metadata int16 }

// askVersions asks the broker at the other end what it speaks.
func askVersions(rw io.ReadWriter, clientID string) (versions, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	res := kmsg.NewPtrApiVersionsResponse()
	if err := ask(rw, req, res, clientID); err != nil {
		return versions{}, err
	}
	if res.ErrorCode != 0 {
		return versions{}, kerr.ErrorForCode(res.ErrorCode)
	}
	var v versions
	for _, k := range res.ApiKeys {
		switch protocol.ApiKey(k.ApiKey) {
		case protocol.Fetch:
			v.fetch = k.MaxVersion
		case protocol.Metadata:
			v.metadata = k.MaxVersion
		}
	}
	return v, nil
}

// askTopic asks the broker at the other end, which speaks that version of
// Metadata, what bears a name.
func askTopic(rw io.ReadWriter, version int16, clientID, name string) (connectors.Topic, error) {
	req := kmsg.NewPtrMetadataRequest()
	res := kmsg.NewPtrMetadataResponse()
	req.Version = min(version, idMetadataVersion)
	res.Version = req.Version
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	if err := ask(rw, req, res, clientID); err != nil {
		return connectors.Topic{}, err
	}
	return topicOf(res, name)
}

// ask sends a request and reads its response.
func ask(rw io.ReadWriter, req kmsg.Request, res kmsg.Response, clientID string) error {
	const correlation = 1 // one request at a time is on a connection
	if err := writeRequest(rw, req, correlation, clientID); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxMetadataBytes {
		return &thalweg.Error{Op: "read response", Kind: thalweg.Exhausted, Err: fmt.Errorf("%d bytes, at most %d are read", size, maxMetadataBytes)}
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(rw, body); err != nil {
		return err
	}
	if id := binary.BigEndian.Uint32(body); id != correlation {
		return fmt.Errorf("response to request %d, expected %d", id, correlation)
	}
	body = body[4:]
	if res.IsFlexible() && res.Key() != int16(protocol.ApiVersions) {
		tags := reader{data: body}
		tags.tags()
		body = tags.data
	}
	if err := res.ReadFrom(body); err != nil {
		return corruptResponse("%w", err)
	}
	return nil
}

// writeRequest sends a request that kafka-go does not know.
func writeRequest(w io.Writer, req kmsg.Request, correlation int32, clientID string) error {
	_, err := w.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, correlation))
	return err
}

// identify looks into an error of a Fetch of the topic id: what bears the name
// may be another topic by now, which is a better answer than any.
func (s *Source) identify(ctx context.Context, id string, partition int, offset, end int64, err error) error {
	if id == "" || thalweg.Is(err, thalweg.Canceled) {
		return err
	}
	now, topicErr := s.cluster.topic(ctx)
	if topicErr != nil || now.ID == id {
		return err
	}
	name := s.cluster.cfg.Topic
	if now.ID == "" {
		return &thalweg.Error{Op: "fetch", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("%s/%d", name, partition), Err: errors.Join(errNoIdentity, err),
			Hint: "it cannot be told whether this is topic " + id + ": use brokers that give topics an identity (Kafka 2.8 or later), as when the stream began"}
	}
	missing := &connectors.MissingRange{Topic: name, Partition: partition, From: offset, To: max(offset, end), Was: id, Is: now.ID, First: -1, Next: -1}
	if partition < now.Partitions {
		first, next, boundsErr := s.Bounds(ctx, partition)
		if boundsErr != nil {
			return boundsErr
		}
		if again, topicErr := s.cluster.topic(ctx); topicErr != nil || again.ID != now.ID {
			return err // it changes as we look: the next Fetch sees what it is then
		}
		missing.First, missing.Next = first, next
	}
	return &thalweg.Error{Op: "fetch", Kind: thalweg.Lost, Subject: fmt.Sprintf("%s/%d", name, partition), Err: missing}
}

var errNoIdentity = errors.New("the brokers give topics no identity")
