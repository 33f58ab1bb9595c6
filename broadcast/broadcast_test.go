package broadcast

import "testing"

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAChangeWakesThoseWhoAskedBeforeIt(t *testing.T) {
	var n Notifier
	n.Notify()
	first, same := n.Changed(), n.Changed()
	if isClosed(first) || first != same {
		t.Error("woken by a change of before")
	}
	n.Notify()
	if next := n.Changed(); !isClosed(first) || isClosed(next) {
		t.Error("not woken by the change, or twice")
	}
}
