package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/thalweg/thalweg"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a coordinator whose StartRun answers as told.
type fake struct {
	apiv1.UnimplementedCoordinatorServiceHandler
	answer func(calls int, req *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error)

	mu  sync.Mutex
	ids []string // request ids of the calls
}

func (f *fake) StartRun(_ context.Context, req *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
	f.mu.Lock()
	f.ids = append(f.ids, req.RequestId)
	calls := len(f.ids)
	f.mu.Unlock()
	resp, err := f.answer(calls, req)
	if err != nil {
		return nil, ToConnect(err)
	}
	return resp, nil
}

// serve starts a fake and returns its address.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(apiv1.NewCoordinatorServiceHandler(f))
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func newTestClient(t *testing.T, addresses ...string) *Client {
	t.Helper()
	c, err := NewClient(Config{Addresses: addresses, Attempts: 6, Waits: retry.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// deadAddress returns an address at which nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func unavailableError() error {
	return &thalweg.Error{Op: "serve", Kind: thalweg.Unavailable, Subject: "node"}
}

func TestClientGoesOnToTheNodeThatAnswers(t *testing.T) {
	down := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) { return nil, unavailableError() }}
	up := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		return &apiv1.StartRunResponse{RunId: "r"}, nil
	}}
	upAddress := serve(t, up)
	c := newTestClient(t, deadAddress(t), "http://"+serve(t, down), upAddress)
	req := &apiv1.StartRunRequest{Pipeline: "a"}
	for range 2 { // the same message, but two logical requests
		resp, err := c.StartRun(t.Context(), req)
		if err != nil || resp.RunId != "r" {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	if len(down.ids) != 1 || len(up.ids) != 2 || c.nodes[c.current()] != upAddress {
		t.Errorf("the node that is down was asked %d times, the other %d times; the client stays with %s", len(down.ids), len(up.ids), c.nodes[c.current()])
	}
	if up.ids[0] != down.ids[0] || up.ids[0] == "" || up.ids[1] == up.ids[0] {
		t.Errorf("request ids %v, then %v: one per logical request", down.ids, up.ids)
	}
}

func TestClusterThatIsDownIsSaidSoon(t *testing.T) {
	// 192.0.2.1 is nobody's: a connection to it hangs, or has no route.
	for name, addresses := range map[string][]string{"refused": {deadAddress(t)}, "no route": {"192.0.2.1:7070"}, "both": {"192.0.2.1:7070", deadAddress(t)}} {
		c, err := NewClient(Config{Addresses: addresses, DownAfter: 100 * time.Millisecond, Unreachable: "start one"})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = c.StartRun(t.Context(), &apiv1.StartRunRequest{})
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: said after %v", name, took)
		}
		if !thalweg.Is(err, thalweg.Unavailable) || !strings.Contains(err.Error(), addresses[0]) || !strings.Contains(err.Error(), "start one") {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}

func TestNodeThatTakesConnectionsIsNotTakenForDown(t *testing.T) {
	wait := 150 * time.Millisecond
	f := &fake{answer: func(calls int, _ *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		if calls < 4 { // an election that takes longer
			return nil, unavailableError()
		}
		return &apiv1.StartRunResponse{RunId: "r"}, nil
	}}
	c, err := NewClient(Config{Addresses: []string{serve(t, f)}, DownAfter: wait / 2, Waits: retry.Backoff{Min: wait, Max: wait}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.StartRun(t.Context(), &apiv1.StartRunRequest{}); err != nil {
		t.Error(err)
	}
}

func TestClientKeepsTheCallersRequestID(t *testing.T) {
	f := &fake{answer: func(calls int, _ *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		if calls < 3 {
			return nil, unavailableError()
		}
		return &apiv1.StartRunResponse{}, nil
	}}
	if _, err := newTestClient(t, serve(t, f)).StartRun(t.Context(), &apiv1.StartRunRequest{RequestId: "mine"}); err != nil {
		t.Fatal(err)
	}
	if strings.Join(f.ids, " ") != "mine mine mine" {
		t.Errorf("request ids %v", f.ids)
	}
}

func TestClientDoesNotRepeatARefusal(t *testing.T) {
	f := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		return nil, &thalweg.Error{Op: "start run", Kind: thalweg.Exists, Subject: "run a-1-1", Hint: "wait"}
	}}
	_, err := newTestClient(t, serve(t, f)).StartRun(t.Context(), &apiv1.StartRunRequest{})
	var e *thalweg.Error
	if !errors.As(err, &e) || e.Kind != thalweg.Exists || e.Subject != "run a-1-1" || e.Hint != "wait" || len(f.ids) != 1 {
		t.Errorf("%+v after %d calls", err, len(f.ids))
	}
}

func TestClientGivesUpAfterItsAttempts(t *testing.T) {
	f := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) { return nil, unavailableError() }}
	_, err := newTestClient(t, serve(t, f)).StartRun(t.Context(), &apiv1.StartRunRequest{})
	if !thalweg.Is(err, thalweg.Unavailable) || len(f.ids) != 6 {
		t.Errorf("%v after %d calls", err, len(f.ids))
	}
}

// Where nobody listens, the addresses are named once, with the caller's hint.
func TestClientSaysWhatToDoWhereNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c, err := NewClient(Config{Addresses: []string{address}, Attempts: 2, Waits: retry.Backoff{Min: time.Millisecond}, Unreachable: "start it"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.StartRun(t.Context(), &apiv1.StartRunRequest{Pipeline: "p"})
	want := "call coordinator: " + address + ": dial tcp " + address + ": connect: connection refused (start it)"
	if !thalweg.Is(err, thalweg.Unavailable) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		cancel()
		return nil, unavailableError()
	}}
	_, err := newTestClient(t, serve(t, f)).StartRun(ctx, &apiv1.StartRunRequest{})
	if !thalweg.Is(err, thalweg.Canceled) || !errors.Is(err, context.Canceled) || len(f.ids) != 1 {
		t.Errorf("%v after %d calls", err, len(f.ids))
	}
}

func TestClientLeavesANodeThatHangs(t *testing.T) {
	release := make(chan struct{})
	hangs := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		<-release
		return nil, unavailableError()
	}}
	up := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		return &apiv1.StartRunResponse{}, nil
	}}
	c, err := NewClient(Config{Addresses: []string{serve(t, hangs), serve(t, up)}, Waits: retry.Backoff{Min: time.Millisecond}, AttemptTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	t.Cleanup(func() { close(release) })
	if _, err := c.StartRun(t.Context(), &apiv1.StartRunRequest{}); err != nil || len(up.ids) != 1 {
		t.Errorf("%v", err)
	}
}

// TestClientLeavesANodeThatVanished: its connection is there and nothing comes any more, as
// from a machine that is cut off. A call that is under way goes to the next node.
func TestClientLeavesANodeThatVanished(t *testing.T) {
	asked := make(chan struct{})
	gone := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		close(asked)
		<-t.Context().Done()
		return nil, unavailableError()
	}}
	up := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		return &apiv1.StartRunResponse{}, nil
	}}
	c, err := NewClient(Config{Addresses: []string{vanishing(t, serve(t, gone), asked), serve(t, up)}, Silence: time.Second, AttemptTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, err := c.StartRun(t.Context(), &apiv1.StartRunRequest{}); err != nil || len(up.ids) == 0 {
		t.Errorf("%v", err)
	}
}

// vanishing returns the address of a relay to a node, through which nothing passes once gone
// is closed.
func vanishing(t *testing.T, to string, gone <-chan struct{}) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pass := func(to, from net.Conn) {
		data := make([]byte, 4096)
		for {
			n, err := from.Read(data)
			select {
			case <-gone:
				n = 0
			default:
			}
			if err == nil {
				_, err = to.Write(data[:n])
			}
			if err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			node, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				return
			}
			t.Cleanup(func() { client.Close(); node.Close() })
			go pass(node, client)
			go pass(client, node)
		}
	}()
	return l.Addr().String()
}

func TestAddressesAreChecked(t *testing.T) {
	for _, addresses := range [][]string{nil, {""}, {"https://host:1"}, {"http://"}, {"a b:1"}} {
		if _, err := NewClient(Config{Addresses: addresses}); !thalweg.Is(err, thalweg.Invalid) {
			t.Errorf("%q: %v", addresses, err)
		}
	}
}

func TestErrorsCrossTheRPC(t *testing.T) {
	for kind := thalweg.Other; kind <= thalweg.Throttled; kind++ {
		want := &thalweg.Error{Op: "read shard", Kind: kind, Subject: "lake/a.parquet", Hint: "look there", Err: errors.New("short read")}
		f := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) { return nil, want }}
		c, err := NewClient(Config{Addresses: []string{serve(t, f)}, Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.StartRun(t.Context(), &apiv1.StartRunRequest{})
		c.Close()
		var got *thalweg.Error
		if !errors.As(err, &got) {
			t.Fatalf("%v: %v", kind, err)
		}
		if kind == thalweg.Unavailable { // wrapped by what the client says after its attempts
			errors.As(got.Err, &got)
		}
		if got.Error() != want.Error() || got.Kind != kind || got.Op != want.Op || got.Subject != want.Subject || got.Hint != want.Hint {
			t.Errorf("%v came out as %+v", kind, got)
		}
	}
}

func TestBareErrorsHaveAKind(t *testing.T) {
	if ToConnect(nil) != nil || FromConnect(nil) != nil {
		t.Error("no error became one")
	}
	if err := FromConnect(ToConnect(errors.New("plain"))); err.Error() != "plain" {
		t.Errorf("a plain error came out as %v", err)
	}
	if err := FromConnect(ToConnect(context.Canceled)); !thalweg.Is(err, thalweg.Canceled) {
		t.Errorf("a canceled context came out as %v", err)
	}
	for _, broken := range []error{
		connect.NewError(connect.CodeUnknown, errors.New("unexpected EOF")),
		connect.NewError(connect.CodeCanceled, syscall.EPIPE),
		connect.NewError(connect.CodeInvalidArgument, errors.New("incomplete envelope")),
		connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded),
	} {
		if err := FromConnect(broken); !thalweg.Is(err, thalweg.Unavailable) {
			t.Errorf("%v came out as %v", broken, err)
		}
	}
}

// TestClientLeavesANodeThatBreaksItsConnection: a killed process answers with a
// reset, at once or in the middle of an answer.
func TestClientLeavesANodeThatBreaksItsConnection(t *testing.T) {
	broken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := broken.Accept()
			if err != nil {
				return
			}
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
			if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
				t.Error(err)
			}
			conn.Close()
		}
	})
	up := &fake{answer: func(int, *apiv1.StartRunRequest) (*apiv1.StartRunResponse, error) {
		return &apiv1.StartRunResponse{}, nil
	}}
	c := newTestClient(t, broken.Addr().String(), serve(t, up))
	if _, err := c.StartRun(t.Context(), &apiv1.StartRunRequest{}); err != nil || len(up.ids) != 1 {
		t.Errorf("%v", err)
	}
	broken.Close()
	accepting.Wait()
}
