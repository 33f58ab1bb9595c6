package process_test

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"testing"

	"github.com/thalweg/thalweg/integration/process"
)

func shell(script string) *exec.Cmd { return exec.Command("sh", "-c", script) }

func TestALineIsFoundWheneverItWasPrinted(t *testing.T) {
	p := process.Start(t, "printer", shell("echo first; echo port 42; read line"))
	if got := p.Line(t, `^port (\d+)$`); got[1] != "42" {
		t.Errorf("got %q", got)
	}
	if got := p.Line(t, `first`); got[0] != "first" {
		t.Errorf("got %q", got)
	}
}

func TestTheLastLineOfAnEndedProcessIsFound(t *testing.T) {
	p := process.Start(t, "ended", shell("echo one; printf two; exit 3"))
	if code := p.Wait(t); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	p.Line(t, "two")
	if got := p.Output(); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("got %q", got)
	}
}

func TestKillEndsWhatIgnoresSignals(t *testing.T) {
	p := process.Start(t, "stubborn", shell("trap '' TERM; echo ready; while :; do sleep 1; done"))
	p.Line(t, "ready")
	p.Kill()
	select {
	case <-p.Done():
	default:
		t.Error("Kill returned before the process had ended")
	}
}

func TestStopLetsAProcessEndByItself(t *testing.T) {
	p := process.Start(t, "polite", shell("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
	p.Line(t, "ready")
	if code := p.Stop(t); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	p.Line(t, "bye")
}

func TestUntilWaitsForTheFact(t *testing.T) {
	asked := 0
	process.Until(t, "the third question", func(context.Context) error {
		if asked++; asked < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

func TestAFreeAddressCanBeListenedOn(t *testing.T) {
	l, err := net.Listen("tcp", process.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
