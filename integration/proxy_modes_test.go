package integration

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo answers each line with the same line, and counts them.
func echo(t *testing.T) (address string, heard chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	heard = make(chan string, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewReader(c)
				for {
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					heard <- line
					io.WriteString(c, line)
				}
			}()
		}
	}()
	return listener.Addr().String(), heard
}

// briefly is how long a test waits for what must not come.
const briefly = 50 * time.Millisecond

func dial(t *testing.T, p *proxy) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", p.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, bufio.NewReader(c)
}

func says(t *testing.T, c net.Conn, answers *bufio.Reader, line string) (string, error) {
	t.Helper()
	io.WriteString(c, line)
	c.SetReadDeadline(time.Now().Add(briefly))
	defer c.SetReadDeadline(time.Time{})
	return answers.ReadString('\n')
}

func TestBytesPass(t *testing.T) {
	address, _ := echo(t)
	c, answers := dial(t, startProxy(t, address))
	for range 3 {
		if got, err := says(t, c, answers, "hello\n"); err != nil || got != "hello\n" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestACutResetsConnectionsOldAndNew(t *testing.T) {
	address, _ := echo(t)
	p := startProxy(t, address)
	c, answers := dial(t, p)
	says(t, c, answers, "hello\n")
	p.Set(proxyCut)
	if _, err := says(t, c, answers, "hello\n"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an old connection: %v", err)
	}
	if c, err := net.Dial("tcp", p.Address); err == nil { // the reset may be there before Dial returns
		defer c.Close()
		if _, err := says(t, c, bufio.NewReader(c), "hello\n"); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a new connection: %v", err)
		}
	}
	p.Set(proxyPass)
	c, answers = dial(t, p)
	if got, err := says(t, c, answers, "hello\n"); err != nil || got != "hello\n" {
		t.Errorf("after it: %q, %v", got, err)
	}
}

func TestWhatWasFrozenArrivesLate(t *testing.T) {
	address, heard := echo(t)
	p := startProxy(t, address)
	c, answers := dial(t, p)
	says(t, c, answers, "hello\n")
	<-heard
	p.Set(proxyFreeze)
	if _, err := says(t, c, answers, "late\n"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while frozen: %v", err)
	}
	if len(heard) > 0 {
		t.Error("the server heard of it")
	}
	p.Set(proxyPass)
	if got, err := answers.ReadString('\n'); err != nil || got != "late\n" {
		t.Errorf("after it: %q, %v", got, err)
	}
}

func TestAMutedServerHearsAndIsNotHeard(t *testing.T) {
	address, heard := echo(t)
	p := startProxy(t, address)
	c, answers := dial(t, p)
	p.Set(proxyMute)
	if _, err := says(t, c, answers, "lost\n"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while muted: %v", err)
	}
	if got := <-heard; got != "lost\n" {
		t.Errorf("the server heard %q", got)
	}
	p.Set(proxyPass)
	if got, err := answers.ReadString('\n'); err == nil {
		t.Errorf("a connection that has lost bytes goes on with %q", got)
	}
}

func TestSlowBytesTakeTheirTime(t *testing.T) {
	address, _ := echo(t)
	p := startProxy(t, address)
	c, answers := dial(t, p)
	p.Set(proxySlow)
	began := time.Now()
	io.WriteString(c, "slow\n")
	if got, err := answers.ReadString('\n'); err != nil || got != "slow\n" || time.Since(began) < 2*proxyDelay {
		t.Errorf("%q after %v, %v", got, time.Since(began), err)
	}
}
