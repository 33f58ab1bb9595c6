package devbroker

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxRequestBytes is Apache Kafka's default of socket.request.max.bytes. kfake
	// has no bound and allocates what the first four bytes of a connection say.
	maxRequestBytes = 100 << 20
	// maxMendedBytes bounds the requests that are kept until they are answered: a
	// larger one is answered as kfake does.
	maxMendedBytes = 1 << 20
)

// listener wraps the connections that kfake accepts.
type listener struct{ net.Listener }

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	mended := &conn{Conn: c}
	mended.mu.asked = make(map[int32]kmsg.Request)
	return mended, nil
}

// conn stands between a client and kfake. It refuses requests that kfake would
// die of, and hands kfake's answers on as mends says.
type conn struct {
	net.Conn
	in   []byte // the part of the request that is read and not yet passed on
	left int    // bytes of the request that are still to be read
	mu   struct {
		sync.Mutex
		// asked are the requests by correlation id whose answers are to be mended. kfake
		// reads one request ahead of its answer, so there are two at most.
		asked map[int32]kmsg.Request
	}
}

// Read implements net.Conn for kfake.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.in) == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.in) > 0 {
		n := copy(p, c.in)
		c.in = c.in[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// next reads the beginning of the next request, and all of it if its answer is
// to be mended.
func (c *conn) next() error {
	const head = 12 // size, key, version, correlation id
	frame := make([]byte, head)
	if _, err := io.ReadFull(c.Conn, frame); err != nil {
		return err
	}
	size, key := int(binary.BigEndian.Uint32(frame)), int16(binary.BigEndian.Uint16(frame[4:]))
	req := kmsg.RequestForKey(key)
	if req == nil || size < head-4 || size > maxRequestBytes {
		return errors.New("not a request of Kafka's protocol")
	}
	c.in, c.left = frame, size-(head-4)
	if mends[key] == nil || size > maxMendedBytes {
		return nil
	}
	c.in, c.left = append(frame, make([]byte, c.left)...), 0
	if _, err := io.ReadFull(c.Conn, c.in[head:]); err != nil {
		return err
	}
	req.SetVersion(int16(binary.BigEndian.Uint16(frame[6:])))
	r := kbin.Reader{Src: c.in[head:]}
	r.NullableString() // the client's id
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if r.Ok() && req.ReadFrom(r.Src) == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.asked[int32(binary.BigEndian.Uint32(frame[8:]))] = req
	}
	return nil
}

// Write implements net.Conn for kfake, which writes one answer a call.
func (c *conn) Write(p []byte) (int, error) {
	if _, err := c.Conn.Write(c.mend(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// mend returns the answer as the client gets it.
func (c *conn) mend(answer []byte) []byte {
	const head = 8 // size, correlation id
	if len(answer) < head {
		return answer
	}
	id := int32(binary.BigEndian.Uint32(answer[4:]))
	c.mu.Lock()
	req := c.mu.asked[id]
	delete(c.mu.asked, id)
	c.mu.Unlock()
	if req == nil {
		return answer
	}
	resp := req.ResponseKind()
	body := head
	if resp.IsFlexible() {
		body++ // no tags
	}
	if len(answer) < body || resp.ReadFrom(answer[body:]) != nil {
		return answer
	}
	mends[req.Key()](req, resp)
	mended := resp.AppendTo(append([]byte(nil), answer[:body]...))
	binary.BigEndian.PutUint32(mended, uint32(len(mended)-4))
	return mended
}
