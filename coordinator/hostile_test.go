package coordinator

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/coordinator/api"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/integration/effort"
)

// attacker sends bodies that no client would.
type attacker struct {
	*rand.Rand
	large []byte
}

// body returns the body of one request, with its headers.
func (a *attacker) body() (contentType, encoding string, body []byte) {
	contentType = []string{"application/json", "application/proto", "application/grpc", "application/grpc-web+proto", "application/connect+json",
		"application/json; charset=utf-8", "text/plain", "", strings.Repeat("a", 5000)}[a.IntN(9)]
	switch a.IntN(10) {
	case 0: // too large
		body = a.large[:a.IntN(len(a.large))]
	case 1: // a bomb
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write(a.large)
		_ = w.Close()
		encoding, body = "gzip", out.Bytes()
	case 2: // brackets
		body = []byte(`{"x":` + strings.Repeat("[", a.IntN(60_000)))
	case 3: // items
		body = []byte(`{"pipelines":[` + strings.Repeat(`"",`, a.IntN(20_000)) + `"x"],"arguments":{` + strings.Repeat(`"":"",`, 100) + `"y":"z"}}`)
	case 4: // messages
		body = bytes.Repeat([]byte{byte(a.IntN(16))<<3 | 2, 0}, a.IntN(32_000))
	case 5: // random bytes
		body = make([]byte, a.IntN(5000))
		for i := range body {
			body[i] = byte(a.Uint32())
		}
	case 6: // a hostile spec
		spec := []string{strings.Repeat("[", 100_000), strings.Repeat("a,", 100_000), "a: " + strings.Repeat("n", 200_000), strings.Repeat("a: 1\r", 40_000),
			strings.Repeat("- {name: f, type: number}\n", 2_300), "x: [" + strings.Repeat("{a}, ", 5_800) + "]"}[a.IntN(6)]
		body = fmt.Appendf(nil, `{"spec":%q,"backup":%q}`, spec, base64.StdEncoding.EncodeToString([]byte(spec)))
	case 7: // names
		name := []string{strings.Repeat("n", 50_000), "../../etc/passwd", `\u0000`, "\\n\\u001b[31m", `\ud800`, "é", "%s%n", ""}[a.IntN(8)]
		body = fmt.Appendf(nil, `{"name":"%s","pipeline":"%[1]s","runId":"%[1]s","model":"%[1]s","alias":"%[1]s","requestId":"%[1]s","id":"%[1]s","sha256":"%[1]s","role":"%[1]s","workerId":"%[1]s","incarnation":"%[1]s"}`, name)
	case 8: // numbers
		body = []byte(`{"version":` + []string{"1e309", "-1", "NaN", strings.Repeat("9", 40_000), `"x"`}[a.IntN(5)] + `,"pageSize":4294967295,"generation":"18446744073709551616"}`)
	default: // nothing, or half of something
		body = []byte(`{"pipeline":"fli`)[:a.IntN(16)]
	}
	if strings.Contains(contentType, "grpc") || strings.Contains(contentType, "connect") {
		size := uint32(len(body))
		if a.IntN(3) == 0 {
			size = a.Uint32()
		}
		body = append(binary.BigEndian.AppendUint32([]byte{byte(a.IntN(4))}, size), body...)
	}
	return contentType, encoding, body
}

// TestTheLeaderGoesOnCommittingUnderHostileBodies, sent to each node on every route, while
// connections stand open whose headers and bodies do not come.
func TestTheLeaderGoesOnCommittingUnderHostileBodies(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	client := c.client()
	c.apply(client, "flights", 1)

	for i := range 96 { // those who are slow
		conn, err := net.Dial("tcp", c.peers[i%3].API)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		head := "POST " + apiv1.CoordinatorServiceApplyProcedure + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
		if _, err := io.WriteString(conn, head[:len(head)-i]); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(c.ctx())
	commits := make(chan int)
	go func() {
		n := 0
		for ; ctx.Err() == nil; n++ {
			if _, err := client.SetStream(c.ctx(), &apiv1.SetStreamRequest{Pipeline: "flights", Paused: n%2 == 0}); err != nil {
				t.Errorf("commit %d: %v", n, err)
				break
			}
		}
		commits <- n
	}()

	var routes []string
	for _, p := range auth.Policies() {
		// Members of a list that is fixed have nothing to join, and what is deleted commits no more.
		if strings.HasPrefix(p.Route, "/thalweg.") && p.Route != apiv1.CoordinatorServiceRemoveMemberProcedure {
			routes = append(routes, p.Route)
		}
	}
	web := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer web.CloseIdleConnections()
	refused := make(map[int]int)
	bodies := effort.Seeds(1_000, 20_000)
	if effort.Raced {
		bodies /= 5 // the detector makes deflating them ten times as slow
	}
	large := make([]byte, 3<<20)
	for seed := range bodies {
		a := &attacker{rand.New(rand.NewPCG(seed, 4)), large}
		contentType, encoding, body := a.body()
		route := routes[a.IntN(len(routes))]
		req, err := http.NewRequestWithContext(c.ctx(), http.MethodPost, "http://"+c.peers[a.IntN(3)].API+route, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if a.IntN(3) == 0 {
			req.ContentLength = -1 // in chunks
		}
		req.Header.Set("Content-Type", contentType)
		if encoding != "" {
			req.Header.Set("Content-Encoding", encoding)
			req.Header.Set("Grpc-Encoding", encoding)
			req.Header.Set("Connect-Content-Encoding", encoding)
		}
		resp, err := web.Do(req)
		if err != nil {
			continue // the node closed the connection on a body that it does not read
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		refused[resp.StatusCode]++
		code := ""
		for _, word := range []string{`"internal"`, `"unknown"`, "internal fault"} {
			if bytes.Contains(answer, []byte(word)) {
				code = word
			}
		}
		if resp.StatusCode >= http.StatusBadRequest && len(answer) > 16<<10 {
			t.Errorf("seed %d: the error of %s has %d bytes: %.200q", seed, route, len(answer), answer)
		}
		if code != "" {
			t.Errorf("seed %d: %s answers %s: %.300q to %s %.100q", seed, route, resp.Status, answer, contentType, body)
		}
	}
	cancel()
	n := <-commits
	t.Logf("%d commits during %d hostile bodies, answers by status: %v", n, bodies, refused)
	if n < int(bodies)/100 || refused[http.StatusTooManyRequests] == 0 {
		t.Errorf("%d commits, and no body was refused as too large: %v", n, refused)
	}
}

// TestBodiesAreAsLargeAsTheirRouteAllows, on a follower, which passes them on, as on the leader.
func TestBodiesAreAsLargeAsTheirRouteAllows(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, nil)
	nodes := []string{c.leader(), c.follower()}
	for route, most := range map[string]int{
		apiv1.CoordinatorServiceGetRunProcedure: 64 << 10, apiv1.CoordinatorServiceApplyProcedure: 1 << 20,
		apiv1.CoordinatorServicePollProcedure: api.MaxPollBytes,
	} {
		for _, id := range nodes {
			for _, chunked := range []bool{false, true} {
				for _, more := range []int{0, 1} {
					body := append([]byte("{}"), bytes.Repeat([]byte{' '}, most-2+more)...)
					var answer *httptest.ResponseRecorder
					c.eventually("there is a leader that answers", func() bool {
						at := c.nodes[id].cfg.APIListener.Addr()
						ctx := context.WithValue(c.ctx(), http.LocalAddrContextKey, at)
						req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.String()+route, bytes.NewReader(body))
						if err != nil {
							t.Fatal(err)
						}
						req.Header.Set("Content-Type", "application/json")
						if chunked {
							req.ContentLength = -1
						}
						answer = httptest.NewRecorder()
						c.nodes[id].newServer().Handler.ServeHTTP(answer, req)
						return answer.Code != http.StatusServiceUnavailable
					})
					large := strings.Contains(answer.Body.String(), "resource_exhausted")
					if large != (more == 1) {
						t.Errorf("%s to %s, %d bytes, chunked %v: %d %.200q", route, id, len(body), chunked, answer.Code, answer.Body)
					}
				}
			}
		}
	}
}
