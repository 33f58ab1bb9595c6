package process

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// UnderSystemd runs a process that serves until ctx ends, and tells systemd how it is
// (sd_notify(3)): that it serves once ready is closed, that it lives as often as the unit's
// WatchdogSec asks for, and at the end of ctx that it stops. Without systemd it only runs it.
func UnderSystemd(ctx context.Context, log *slog.Logger, ready <-chan struct{}, run func(ctx context.Context) error) error {
	telling, end := context.WithCancel(ctx)
	told := make(chan struct{})
	go func() {
		defer close(told)
		tellSystemd(telling, log, ready)
	}()
	defer func() { end(); <-told }()
	return run(ctx)
}

// tellSystemd tells systemd until ctx ends, and then that the process stops.
func tellSystemd(ctx context.Context, log *slog.Logger, ready <-chan struct{}) {
	tell := func(state string) bool {
		told, err := daemon.SdNotify(false, state)
		if err != nil {
			log.Warn("systemd cannot be told how this process is, and may end it", "error", err)
		}
		return told && err == nil
	}
	select {
	case <-ctx.Done():
		return
	case <-ready:
	}
	if !tell(daemon.SdNotifyReady) {
		return
	}
	defer tell(daemon.SdNotifyStopping)
	var alive <-chan time.Time
	if every, err := daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("systemd's watchdog is not understood", "error", err)
	} else if every > 0 {
		tick := time.NewTicker(every / 3)
		defer tick.Stop()
		alive = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-alive:
			tell(daemon.SdNotifyWatchdog)
		}
	}
}
