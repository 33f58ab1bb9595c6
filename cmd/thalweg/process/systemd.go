package process

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// TellSystemd tells systemd that the process serves once ready is closed, then that it is
// alive as often as the unit's WatchdogSec asks for, and at the end of ctx that it stops
// (sd_notify(3)). It returns then. Without systemd it does nothing.
func TellSystemd(ctx context.Context, log *slog.Logger, ready <-chan struct{}) {
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
