package process

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
)

func TestSystemdIsToldHowAProcessIs(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "30000")
	told := func() string {
		text := make([]byte, 100)
		n, err := systemd.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if err := UnderSystemd(ctx, slog.New(slog.DiscardHandler), ready, func(ctx context.Context) error {
			<-ctx.Done()
			return nil // at once: that it stops is told all the same
		}); err != nil {
			t.Error(err)
		}
	}()
	close(ready)
	for i, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := told(); got != want {
			t.Errorf("message %d is %q; want %q", i, got, want)
		}
	}
	stop()
	<-done
	for {
		switch got := told(); got {
		case "WATCHDOG=1": // on its way when the process was to stop
		case "STOPPING=1":
			return
		default:
			t.Fatalf("told %q", got)
		}
	}
}

func TestAProcessWithoutSystemdTellsNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	ready := make(chan struct{})
	close(ready)
	failed := errors.New("no disk")
	if err := UnderSystemd(t.Context(), slog.New(slog.DiscardHandler), ready, func(context.Context) error { return failed }); err != failed {
		t.Errorf("got %v", err)
	}
}
