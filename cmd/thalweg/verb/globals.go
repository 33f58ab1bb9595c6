// Package verb is what verbs are made of: the global flags, how one asks the cluster
// and prints its answer, and the arguments and specs that they are given.
package verb

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/coordinator/api"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// maxTokenFile is above the longest token there is.
const maxTokenFile = 64 << 10

// Globals are the flags that every verb takes; its help shows those that it uses.
type Globals struct {
	Coordinators []string // host:port
	TokenFile    string   // has the token that coordinators are shown
	Certs        string   // directory of ca.crt, and of a certificate with its key; empty: without TLS
	Output       string   // table, json or yaml
	LogLevel     string
	Connections  connections.Flags
}

// The sets of global flags that verbs use.
const (
	Logs   = "log-level "
	Data   = "connections store " // it reads training data
	Prints = "output "
	Asks   = "certs coordinator token-file " + Prints      // it asks the coordinators and prints what they say
	Reads  = Asks + "connections store "                   // it reads the results of a stream too
	Scores = Reads + "kafka schema-registry state-bucket " // it scores as a worker does
)

// Register adds the flags to those of the root.
func (g *Globals) Register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&g.Coordinators, "coordinator", connections.EnvList("THALWEG_COORDINATOR", connections.APIAddress),
		"coordinator addresses (host:port), one or more [THALWEG_COORDINATOR]")
	flags.StringVar(&g.Certs, "certs", os.Getenv("THALWEG_CERTS"),
		"directory with the cluster's ca.crt, and tls.crt and tls.key where one has a certificate; without, the coordinators are taken to speak no TLS, as `thalweg dev` does [THALWEG_CERTS]")
	flags.StringVar(&g.TokenFile, "token-file", os.Getenv("THALWEG_TOKEN_FILE"),
		"file with the token that coordinators are shown [THALWEG_TOKEN_FILE; THALWEG_TOKEN: the token itself]")
	flags.StringVarP(&g.Output, "output", "o", "table", "output format: table, json or yaml")
	flags.StringVar(&g.LogLevel, "log-level", "info", "log level: debug, info, warn or error")
	g.Connections.Register(flags)
}

// UsesFlags is the annotation of a command that uses other global flags than
// the verb above it: their names, with spaces between.
const UsesFlags = "uses-flags"

// UsedFlags returns the names of the global flags that a command uses.
func UsedFlags(cmd *cobra.Command) []string {
	for ; cmd != nil; cmd = cmd.Parent() {
		if names, ok := cmd.Annotations[UsesFlags]; ok {
			return strings.Fields(names)
		}
	}
	return nil
}

// Client returns a client of the coordinators that the flags name; see
// api.Config for downAfter.
func (g *Globals) Client(downAfter time.Duration) (*api.Client, error) {
	var over *tls.Config
	if g.Certs != "" {
		certs, err := pki.OpenUser(slog.New(slog.DiscardHandler), g.Certs)
		if err != nil {
			return nil, err
		}
		over = certs.Client(pki.Coordinator, "")
	}
	token, err := g.token()
	if err != nil {
		return nil, err
	}
	return api.NewClient(api.Config{Addresses: g.Coordinators, TLS: over, Token: token, DownAfter: downAfter,
		Unreachable: "start coordinators there, as `thalweg dev` does, or name others: --coordinator [THALWEG_COORDINATOR]; of several a majority must run"})
}

// token returns the token that coordinators are shown: of the file, or of the
// environment. There is no flag for the token itself, which all users of a machine
// could read in its list of processes.
func (g *Globals) token() (string, error) {
	token, where := os.Getenv("THALWEG_TOKEN"), "THALWEG_TOKEN"
	if g.TokenFile != "" {
		data, err := terminal.ReadFile("read token", g.TokenFile, maxTokenFile, "name the file that `thalweg token create --to` wrote")
		if err != nil {
			return "", err
		}
		token, where = strings.TrimSpace(string(data)), g.TokenFile
	}
	if token == "" && g.TokenFile == "" {
		return "", nil
	}
	if err := auth.CheckCredential(token); err != nil {
		return "", &thalweg.Error{Op: "read token", Kind: thalweg.Invalid, Subject: where, Err: err}
	}
	return token, nil
}

// NodeCredentials opens the certificates of a node, which it cannot be without: whoever
// reaches it could do anything.
func (g *Globals) NodeCredentials(log *slog.Logger, kind, id string) (*pki.Credentials, error) {
	if g.Certs == "" {
		return nil, &thalweg.Error{Op: kind, Kind: thalweg.Invalid, Err: errors.New("--certs [THALWEG_CERTS] is missing"),
			Hint: fmt.Sprintf("`thalweg init --dir pki --coordinator c1=host … --worker w1=host …` makes the certificates of a cluster; this one's are in pki/%s-%s. `thalweg dev` runs a cluster without them on this machine", kind, id)}
	}
	return pki.Open(log, g.Certs, kind)
}

// Print writes a value in the format that the flags name; see terminal.Print.
func (g *Globals) Print(w io.Writer, value any, table func(w io.Writer)) error {
	return terminal.Print(w, g.Output, value, table)
}

// Logger writes text lines to standard error.
func (g *Globals) Logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.LogLevel)); err != nil {
		return nil, terminal.UsageError("--log-level", g.LogLevel, "one of debug, info, warn, error")
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}
