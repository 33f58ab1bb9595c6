package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// packetBytes is the MTU of a TUN device, as the kernel makes it.
	packetBytes = 1500
	// queued is how many packets may be on the way to a node, 6 MB; more are lost, as
	// in a router.
	queued = 4096
)

// node is one namespace, seen from the switch.
type node struct {
	name    string
	address netip.Addr
	tun     *os.File
	queue   chan packet
	done    chan struct{} // closed when the test ends
}

// packet is one that is on its way.
type packet struct {
	data []byte
	due  time.Time
}

// newNode makes a namespace with an interface; that of Home is the test's.
func newNode(t testing.TB, name string, address netip.Addr) *node {
	t.Helper()
	n := &node{name: name, address: address, queue: make(chan packet, queued), done: make(chan struct{})}
	var err error
	if n.tun, err = openTUN(name); err != nil {
		t.Fatalf("make interface %s: %v", name, err)
	}
	t.Cleanup(func() {
		close(n.done)
		n.tun.Close() // the interface goes with it
	})
	if name != Home {
		run(t, "", "ip", "netns", "add", name)
		run(t, "", "ip", "link", "set", name, "netns", name)
	}
	n.run(t, fmt.Sprintf("link set lo up\naddress add %s/24 dev %s\nlink set %s up\n", address, name, name), "ip", "-batch", "-")
	n.filter(t, rules)
	return n
}

// openTUN makes a TUN device of IP packets in the namespace of the test.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// run runs a command in the node's namespace.
func (n *node) run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	if n.name == Home {
		return run(t, stdin, name, args...)
	}
	return run(t, stdin, "nsenter", append([]string{"--net=/run/netns/" + n.name, name}, args...)...)
}

// filter changes the node's rules.
func (n *node) filter(t testing.TB, changes string) {
	t.Helper()
	n.run(t, changes, "nft", "-f", "-")
}

// hear takes what a node sends, and queues it for who it is to.
func (n *Network) hear(from *node) {
	for {
		data := make([]byte, packetBytes)
		size, err := from.tun.Read(data)
		if err != nil {
			return // the test has ended
		}
		if size < 20 || data[0]>>4 != 4 {
			continue // what IPv6 says to everybody
		}
		to := n.at[netip.AddrFrom4([4]byte(data[16:20]))]
		if to == nil {
			continue
		}
		select {
		case to.queue <- packet{data[:size], time.Now().Add(time.Duration(n.delay.Load()))}:
		default:
		}
	}
}

// deliver gives a node what was sent to it, in order, once it is due.
func (n *node) deliver() {
	for {
		select {
		case p := <-n.queue:
			time.Sleep(time.Until(p.due))
			if _, err := n.tun.Write(p.data); errors.Is(err, os.ErrClosed) {
				return
			}
		case <-n.done:
			return
		}
	}
}
