package together

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// Those who ask while others are served are served at once, in the order in which they came,
// and each has its own error.
func TestThoseWhoAskMeanwhileAreServedAtOnce(t *testing.T) {
	d := NewDesk[string, int]()
	begun, goOn, ended := make(chan []string), make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	bad, over := errors.New("bad"), errors.New("over")
	go func() {
		defer close(ended)
		d.Serve(ctx, func(keys []string) Served[string, int] {
			begun <- slices.Clone(keys)
			<-goOn
			return Served[string, int]{Answer: len(keys), Of: map[string]error{"c": bad}}
		})
	}()
	first := d.join("a")
	if keys := <-begun; !slices.Equal(keys, []string{"a"}) {
		t.Errorf("served %v", keys)
	}
	second := d.join("b")
	if c, again := d.join("c"), d.join("b"); c != second || again != second || first == second {
		t.Error("those who ask meanwhile are not together")
	}
	answered := make(chan error, 1)
	go func() {
		_, err := d.Ask(t.Context(), "c", over) // with the second, or after it
		answered <- err
	}()
	goOn <- struct{}{}
	<-first.done
	if keys := <-begun; !slices.Equal(keys, []string{"b", "c"}) {
		t.Errorf("served %v", keys)
	}
	goOn <- struct{}{}
	<-second.done
	if s := second.served; s.Answer != 2 || s.Of["b"] != nil || s.Of["c"] != bad {
		t.Errorf("served with %v", s)
	}
	for err := error(nil); err == nil; {
		select {
		case <-begun:
			goOn <- struct{}{}
		case err = <-answered:
			if err != bad {
				t.Errorf("c has %v", err)
			}
		}
	}
	cancel()
	select {
	case <-ended:
	case <-begun: // it saw that somebody had asked first
		t.Error("nobody asks")
	}
	if _, err := d.Ask(t.Context(), "e", over); err != over {
		t.Errorf("asked when it was over: %v", err)
	}
}

func TestWhoAsksCanGiveUp(t *testing.T) {
	d := NewDesk[string, int]()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Ask(ctx, "a", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
