package kafka

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/thalweg/thalweg"
)

const (
	// minFetchVersion is the first version of Fetch whose responses hold record
	// batches (Kafka 0.11, 2017); the message sets of older ones are not read.
	minFetchVersion = 4
	// idFetchVersion is the version that names topics by their IDs (Kafka 3.1,
	// 2022), the first that can. kafka-go knows those up to 11 only.
	idFetchVersion = 13
)

// exchange is one fetch request and its response, for one partition. It is a
// message of kafka-go's Transport, which finds the leader and an authenticated
// connection, but reads the response itself: into one buffer that is used
// again for the next, and without a look at the records.
type exchange struct {
	fetch.Request // finds the leader
	request       *kmsg.FetchRequest
	ctx           context.Context //nolint:containedctx // the Transport does not hand its own down
	clientID      string
	maxBytes      int
	pool          *Pool
	large         bool // may take a response that is larger than what was asked for
	mayHold       func(ctx context.Context, bytes int) bool
	version       int16            // of the request, as kafka-go would send it
	topicID       topicID          // zero: whichever topic has the name
	apiVersions   map[any]versions // by connection, of those used last

	buf      []byte // the response, without its length
	response fetchResponse
}

var (
	_ protocol.BrokerMessage = (*exchange)(nil)
	_ protocol.RawExchanger  = (*exchange)(nil)
)

// fetchResponse is what a response says about the one partition asked for.
type fetchResponse struct {
	code       *kerr.Error // nil: none
	end        int64       // the high watermark: the offset that the next record will get
	logStart   int64       // first offset kept, -1 if not told
	divergesAt int64       // where the log ends that has what was read before the offset, -1: it has all of it
	aborted    []abortedTransaction
	batches    []byte // aliases exchange.buf
}

// abortedTransaction is one transaction whose records from first on, up to its
// marker, a committed reader must not see.
type abortedTransaction struct{ producer, first int64 }

func newExchange(cfg Config, partition int) *exchange {
	e := &exchange{clientID: cfg.ClientID, pool: cfg.Pool, maxBytes: cfg.MaxResponseBytes, mayHold: cfg.mayHold}
	e.Request.Topics = []fetch.RequestTopic{{Topic: cfg.Topic, Partitions: []fetch.RequestPartition{{Partition: int32(partition)}}}}
	of := kmsg.NewFetchRequestTopicPartition()
	of.Partition = int32(partition)
	e.request = kmsg.NewPtrFetchRequest()
	e.request.MinBytes, e.request.SessionEpoch = 1, -1
	e.request.Topics = []kmsg.FetchRequestTopic{{Topic: cfg.Topic, Partitions: []kmsg.FetchRequestTopicPartition{of}}}
	if cfg.IsolationLevel == ReadCommitted {
		e.request.IsolationLevel = 1
	}
	return e
}

// ask prepares the exchange for a request.
func (e *exchange) ask(ctx context.Context, id topicID, offset int64, epoch int32, maxWait time.Duration, maxBytes int) {
	e.ctx, e.topicID = ctx, id
	e.request.MaxWaitMillis = int32(max(0, maxWait.Milliseconds()))
	e.request.MaxBytes = int32(min(e.maxBytes, math.MaxInt32)) // of all partitions: there is one, with a bound of its own
	e.request.Topics[0].TopicID = id
	p := &e.request.Topics[0].Partitions[0]
	p.LastFetchedEpoch = epoch - 1 // -1: not known
	p.FetchOffset, p.PartitionMaxBytes = offset, int32(min(maxBytes, e.maxBytes, math.MaxInt32))
}

// Required takes the exchange over whenever the broker's version allows it.
func (e *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	e.version = versions[protocol.Fetch]
	return true
}

// RawExchange writes the request to a connection and reads the response.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if e.version < minFetchVersion {
		return nil, &thalweg.Error{Op: "ask for records", Kind: thalweg.Unsupported, Subject: fmt.Sprintf("Fetch version %d", e.version),
			Hint: fmt.Sprintf("the broker must speak version %d or later (Kafka 0.11)", minFetchVersion)}
	}
	return e, onConnection(e.ctx, rw, e.exchange)
}

// onConnection has a request of our own exchanged on one of the Transport's
// connections, and ends it with ctx: the Transport would go on waiting.
func onConnection(ctx context.Context, rw io.ReadWriter, exchange func(io.ReadWriter) error) error {
	conn, ok := rw.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return exchange(rw)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := exchange(rw)
	if !stop() && err == nil {
		err = ctx.Err() // the connection's deadline is spoilt: an error drops it
	}
	return err
}

// exchange fetches from the topic that is meant and no other. A broker that
// finds topics by ID makes sure of that itself. From one that only gives them
// IDs, the records of a response are believed if the name is that topic's after
// they were read: an ID never comes back, so it was all along.
func (e *exchange) exchange(rw io.ReadWriter) error {
	if e.topicID == (topicID{}) {
		return e.fetch(rw, e.version)
	}
	apiVersions, err := e.versionsOf(rw)
	if err != nil {
		return err
	}
	if apiVersions.fetch >= idFetchVersion {
		return e.fetch(rw, idFetchVersion)
	}
	if err := e.fetch(rw, e.version); err != nil || e.response.code != nil || len(e.response.batches) == 0 {
		return err
	}
	topic, err := askTopic(rw, apiVersions.metadata, e.clientID, e.request.Topics[0].Topic)
	if err == nil && topic.ID != e.topicID.String() {
		e.response.code, e.response.batches = kerr.InconsistentTopicID, nil
	}
	return err
}

// maxAPIVersions bounds the connections whose versions are kept: a partition has
// one leader, and a pool few connections to it.
const maxAPIVersions = 8

// versionsOf returns the versions that the other end of a connection speaks.
func (e *exchange) versionsOf(rw io.ReadWriter) (versions, error) {
	if v, ok := e.apiVersions[rw]; ok {
		return v, nil
	}
	v, err := askVersions(rw, e.clientID)
	if err == nil {
		if e.apiVersions == nil || len(e.apiVersions) >= maxAPIVersions {
			e.apiVersions = make(map[any]versions)
		}
		e.apiVersions[rw] = v
	}
	return v, err
}

func (e *exchange) fetch(rw io.ReadWriter, version int16) error {
	e.request.Version = version
	body, err := call(rw, e.request, e.clientID, e.maxBytes+responseSlack, func(size int) ([]byte, error) {
		if !e.large && size > int(e.request.Topics[0].Partitions[0].PartitionMaxBytes) && !e.mayHold(e.ctx, size) {
			return nil, largeError(size)
		}
		e.release()
		e.buf = e.pool.get(size)
		return e.buf, nil
	})
	if err == nil {
		e.response, err = parseFetchResponse(body, version, e.response.aborted[:0])
	}
	return err
}

// largeError says that a response was not read because of its size.
type largeError int

func (e largeError) Error() string {
	return fmt.Sprintf("a response of %d bytes, more than was asked for", int(e))
}

// release gives the buffer back, which nothing refers to any more.
func (e *exchange) release() {
	e.pool.put(e.buf)
	e.buf = nil
}

// responseSlack is what a response may hold besides record batches: its header
// and the list of aborted transactions.
const responseSlack = 1 << 20

// parseFetchResponse reads a response to a request for one partition, from
// behind the correlation id on (versions 4 to 11, and 13). kmsg would allocate
// by the numbers of topics and partitions that it claims.
func parseFetchResponse(data []byte, version int16, aborted []abortedTransaction) (fetchResponse, error) {
	r := kbin.Reader{Src: data}
	byID := version >= idFetchVersion // lengths are compact, and structures end in tags
	count := func() int32 {
		if byID {
			return r.CompactArrayLen()
		}
		return r.ArrayLen()
	}
	if byID {
		skipTags(&r) // of the header
	}
	r.Int32() // throttle time
	res := fetchResponse{logStart: -1, divergesAt: -1}
	if version >= 7 {
		if code := r.Int16(); code != 0 {
			return res, kerr.ErrorForCode(code)
		}
		r.Int32() // session
	}
	if topics := count(); topics != 1 && r.Ok() {
		return res, corruptResponse("%d topics, asked for one", topics)
	}
	if byID {
		r.Uuid()
	} else {
		r.UnsafeNullableString() // name
	}
	if partitions := count(); partitions != 1 && r.Ok() {
		return res, corruptResponse("%d partitions, asked for one", partitions)
	}
	r.Int32() // partition
	res.code = kerr.TypedErrorForCode(r.Int16())
	res.end = r.Int64()
	r.Int64() // last stable offset
	if version >= 5 {
		res.logStart = r.Int64()
	}
	for n := count(); n > 0 && r.Ok(); n-- {
		aborted = append(aborted, abortedTransaction{producer: r.Int64(), first: r.Int64()})
		if byID {
			skipTags(&r)
		}
	}
	res.aborted = aborted
	if version >= 11 {
		r.Int32() // preferred replica
	}
	if byID {
		res.batches = r.CompactNullableBytes()
		if res.divergesAt = divergence(&r); res.divergesAt < -1 {
			return res, corruptResponse("the log diverges at offset %d", res.divergesAt)
		}
	} else {
		res.batches = r.NullableBytes()
	}
	if !r.Ok() {
		return res, corruptResponse("%d bytes end early", len(data))
	}
	return res, nil
}

// divergence reads the tagged fields of a partition, and returns the end offset of the
// diverging epoch among them; -1: none.
func divergence(r *kbin.Reader) (end int64) {
	end = -1
	for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
		tag := r.Uvarint()
		field := kbin.Reader{Src: r.Span(int(r.Uvarint()))}
		if tag != 0 {
			continue
		}
		field.Int32() // the epoch
		if end = field.Int64(); !field.Ok() {
			end = -2
		}
	}
	return end
}

// skipTags skips tagged fields. kmsg.SkipTags goes on after the end, for as many
// as the bytes claim.
func skipTags(r *kbin.Reader) {
	for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
		r.Uvarint() // tag
		r.Span(int(r.Uvarint()))
	}
}

func corruptResponse(format string, args ...any) error {
	return &thalweg.Error{Op: "read response", Kind: thalweg.Corrupt, Err: fmt.Errorf(format, args...)}
}
