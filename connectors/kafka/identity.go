package kafka

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

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
func askVersions(rw io.ReadWriter, clientID string) (v versions, err error) {
	res := kmsg.NewPtrApiVersionsResponse()
	if err := ask(rw, kmsg.NewPtrApiVersionsRequest(), res, clientID); err != nil {
		return v, err
	}
	known := kversion.FromApiVersionsResponse(res)
	v.fetch, _ = known.LookupMaxKeyVersion(kmsg.Fetch.Int16())
	v.metadata, _ = known.LookupMaxKeyVersion(kmsg.Metadata.Int16())
	return v, kerr.ErrorForCode(res.ErrorCode)
}

// askTopic asks the broker at the other end, which speaks that version of
// Metadata, what bears a name.
func askTopic(rw io.ReadWriter, version int16, clientID, name string) (connectors.Topic, error) {
	req := metadataRequest(name)
	req.Version = min(version, idMetadataVersion)
	res := req.ResponseKind().(*kmsg.MetadataResponse)
	if err := ask(rw, req, res, clientID); err != nil {
		return connectors.Topic{}, err
	}
	return topicOf(res, name)
}

// ask sends a request and reads its response.
func ask(rw io.ReadWriter, req kmsg.Request, res kmsg.Response, clientID string) error {
	body, err := call(rw, req, clientID, maxMetadataBytes, func(size int) ([]byte, error) { return make([]byte, size), nil })
	if err != nil {
		return err
	}
	if res.IsFlexible() && kmsg.Key(res.Key()) != kmsg.ApiVersions {
		header := kbin.Reader{Src: body}
		skipTags(&header)
		body = header.Src
	}
	if err := res.ReadFrom(body); err != nil {
		return corruptResponse("%w", err)
	}
	return nil
}

// call sends a request that kafka-go does not know, and returns the response
// from behind the correlation id on. It has at most limit bytes, and lies in
// memory that alloc gives or refuses.
func call(rw io.ReadWriter, req kmsg.Request, clientID string, limit int, alloc func(size int) ([]byte, error)) ([]byte, error) {
	const correlation = 1 // one request at a time is on a connection
	if _, err := rw.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, correlation)); err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(rw, head[:]); err != nil {
		return nil, err
	}
	size := int(int32(binary.BigEndian.Uint32(head[:4]))) - 4
	if size < 0 || size > limit {
		return nil, &thalweg.Error{Op: "read response", Kind: thalweg.Exhausted, Err: fmt.Errorf("%d bytes, at most %d are read", size, limit)}
	}
	if id := binary.BigEndian.Uint32(head[4:]); id != correlation {
		return nil, fmt.Errorf("response to request %d, expected %d", id, correlation)
	}
	body, err := alloc(size)
	if err == nil {
		_, err = io.ReadFull(rw, body)
	}
	return body, err
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
