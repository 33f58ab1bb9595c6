// Package network joins processes of a test by a network that can be spoiled:
// each node has a network namespace of its own, in which real programs run as
// they are, and nothing but the test between it and the others.
//
// A node's only interface but loopback is a TUN device whose other end the test
// holds. A switch in the test passes packets from one to the other, later by a
// delay (what netem does where the kernel has it). In each namespace nftables
// drops what is heard from nodes that are cut off, and a share of everything
// else, so that TCP sees what it sees on a bad network: packets that are lost,
// sent again and late, and no connection that a proxy has closed.
//
// The test itself runs in namespaces that nobody else sees (Inside). They end
// with its processes, even if those are killed, so nothing is left behind on the
// machine, and nothing of it is touched. It takes root, and on Debian the packages
// iproute2, nftables and util-linux.
package network
