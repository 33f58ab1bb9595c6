package embedded

import (
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
)

// TestAPortThatIsTakenIsNamed: so is --free-ports, which then works, since the
// ports that could not be had are not what the directory keeps.
func TestAPortThatIsTakenIsNamed(t *testing.T) {
	if l, err := net.Listen("tcp", connections.S3Address); err == nil { // else another has it
		defer l.Close()
	}
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	_, err := New(t.Context(), log, Config{Dir: dir, Workers: 1})
	if err == nil || !strings.Contains(err.Error(), "the port is taken") || !strings.Contains(err.Error(), "add --free-ports") {
		t.Fatalf("%v, want the port and --free-ports", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v; want it to be its owner's", info.Mode(), err)
	}
	c := &Cluster{cfg: Config{Dir: dir, FreePorts: true}, log: log}
	if err := c.choosePorts(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", c.Endpoints.Kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = c.choosePorts()
	if err == nil || !strings.Contains(err.Error(), c.Endpoints.Kafka+": the port is taken") || !strings.Contains(err.Error(), "--free-ports --dir") {
		t.Errorf("%v, want another directory to be named", err)
	}
}
