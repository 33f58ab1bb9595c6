package tracing

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Header carries a span to who goes on with its trace (W3C Trace Context).
const Header = "Traceparent"

// Remote is a span of another process, of which others are children.
type Remote struct {
	Trace TraceID
	Span  SpanID
}

// NewRemote returns a span of a new trace.
func NewRemote() (r Remote) {
	_, _ = rand.Read(r.Trace[:]) // it never fails
	return r.Child()
}

// Child returns a span of the same trace.
func (r Remote) Child() Remote {
	_, _ = rand.Read(r.Span[:])
	return r
}

// String returns the value of Header, of a trace that is sampled.
func (r Remote) String() string {
	return "00-" + hex.EncodeToString(r.Trace[:]) + "-" + hex.EncodeToString(r.Span[:]) + "-01"
}

// ParseRemote reads a value of Header. It is false where that names no trace, or one that is
// not sampled.
func ParseRemote(text string) (r Remote, sampled bool) {
	parts := strings.Split(text, "-")
	if len(text) > 256 || len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || parts[0] == "00" && len(parts) > 4 ||
		len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 {
		return r, false
	}
	var flags [1]byte
	_, badTrace := hex.Decode(r.Trace[:], []byte(parts[1]))
	_, badSpan := hex.Decode(r.Span[:], []byte(parts[2]))
	_, badFlags := hex.Decode(flags[:], []byte(parts[3]))
	return r, badTrace == nil && badSpan == nil && badFlags == nil && flags[0]&1 == 1 && r.Trace != TraceID{} && r.Span != SpanID{}
}
