package process

import (
	"net"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
)

// LoopbackOnly refuses an address that other machines could reach: until nodes
// authenticate each other, no part of a cluster may listen beyond this machine.
func LoopbackOnly(flag, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return terminal.UsageError(flag, address, "host:port")
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return &thalweg.Error{Op: "listen", Kind: thalweg.Unsupported, Subject: flag + " " + address,
		Hint: "nodes do not authenticate each other yet, so they bind to loopback only: use 127.0.0.1"}
}
