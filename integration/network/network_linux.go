package network

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Home is the name of the node that the test itself is.
	Home = "home"
	// insideVariable tells a test's second run from its first.
	insideVariable = "THALWEG_TEST_INSIDE"
)

// rules are those of each node: what it does not hear because it is cut off from
// who sends, and what it does not hear by bad luck.
const rules = `
table ip faults {
	counter cut { }
	counter lost { }
	set deaf { type ipv4_addr; }
	chain loss { }
	chain hear {
		type filter hook input priority 0;
		iifname "lo" accept
		ip saddr @deaf counter name cut drop
		jump loss
	}
}
`

// Inside reports whether the test runs in namespaces that belong to it alone, of
// networks and of mounts. If not, it runs the test once more in such, fails as
// that one does, and the caller has nothing left to do. What the test needs and
// cannot have fails it.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideVariable) == t.Name() {
		// Names of namespaces (ip netns) are files here: none is left behind either.
		if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			t.Fatalf("mount a /run of the test's own: %v", err)
		}
		run(t, "", "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces take root: run the integration tests as root")
	}
	for tool, from := range map[string]string{"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v (Debian: apt-get install %s)", err, from)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.count=1"}
	if end, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(end).String())
	}
	again := exec.CommandContext(t.Context(), self, args...)
	again.Env = append(os.Environ(), insideVariable+"="+t.Name())
	again.Stdout, again.Stderr = t.Output(), t.Output()
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := again.Run(); err != nil {
		t.Errorf("the test in namespaces of its own: %v", err)
	}
	return false
}

// Network is nodes of which each reaches each other by a test's switch.
type Network struct {
	names []string
	nodes map[string]*node
	at    map[netip.Addr]*node
	delay atomic.Int64 // nanoseconds
}

// New makes a network of nodes with such names, and of Home. It passes everything at
// once, and ends with the test. The test must be Inside.
func New(t testing.TB, names ...string) *Network {
	t.Helper()
	n := &Network{names: append([]string{Home}, names...), nodes: map[string]*node{}, at: map[netip.Addr]*node{}}
	for i, name := range n.names {
		to := newNode(t, name, netip.AddrFrom4([4]byte{10, 77, 0, byte(1 + i)}))
		n.nodes[name], n.at[to.address] = to, to
	}
	for _, to := range n.nodes {
		go to.deliver()
		go n.hear(to)
	}
	return n
}

// Address returns a node's address.
func (n *Network) Address(name string) string { return n.nodes[name].address.String() }

// Enter makes a command that was not started yet run at a node.
func (n *Network) Enter(t testing.TB, name string, cmd *exec.Cmd) {
	t.Helper()
	enter, err := exec.LookPath("nsenter")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := n.nodes[name]; !ok || name == Home {
		t.Fatalf("no node is called %s", name)
	}
	cmd.Args = append([]string{"nsenter", "--net=/run/netns/" + name, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = enter
}

// SetDelay makes each packet that is sent from now on arrive so much later.
func (n *Network) SetDelay(delay time.Duration) { n.delay.Store(int64(delay)) }

// Lose makes each node lose so many packets of 100 that it would hear.
func (n *Network) Lose(t testing.TB, percent int) {
	t.Helper()
	for _, name := range n.names {
		n.nodes[name].filter(t, fmt.Sprintf("flush chain ip faults loss\nadd rule ip faults loss numgen random mod 100 < %d counter name lost drop\n", percent))
	}
}

// Cut lets no packet pass between one of some nodes and one of others, until Heal.
func (n *Network) Cut(t testing.TB, some, others []string) {
	t.Helper()
	n.Deafen(t, some, others)
	n.Deafen(t, others, some)
}

// Deafen lets no packet pass to some nodes from others, until Heal. What the former
// send arrives.
func (n *Network) Deafen(t testing.TB, some, others []string) {
	t.Helper()
	var from []string
	for _, name := range others {
		from = append(from, n.Address(name))
	}
	for _, name := range some {
		n.nodes[name].filter(t, fmt.Sprintf("add element ip faults deaf { %s }\n", strings.Join(from, ", ")))
	}
}

// Heal ends what Cut and Deafen began.
func (n *Network) Heal(t testing.TB) {
	t.Helper()
	for _, name := range n.names {
		n.nodes[name].filter(t, "flush set ip faults deaf\n")
	}
}

// Others returns all nodes but those named.
func (n *Network) Others(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(n.names), func(name string) bool { return slices.Contains(names, name) })
}

var counted = regexp.MustCompile(`counter (\w+) \{\s*packets (\d+)`)

// Dropped returns how many packets were not heard so far: by nodes that were cut off,
// and by bad luck.
func (n *Network) Dropped(t testing.TB) (cut, lost int) {
	t.Helper()
	for _, name := range n.names {
		for _, c := range counted.FindAllStringSubmatch(n.nodes[name].run(t, "", "nft", "list", "counters"), -1) {
			packets, err := strconv.Atoi(c[2])
			if err != nil {
				t.Fatal(err)
			}
			if c[1] == "cut" {
				cut += packets
			} else {
				lost += packets
			}
		}
	}
	return cut, lost
}

// run runs a command to its end, with what it reads, and returns what it printed.
func run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, stdin, out)
	}
	return string(out)
}
