// Package setup is the verb init, whose name no package can have: it makes the certificates of a cluster and of the
// nodes that come later.
package setup

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

// authorityDir is the place of the authority in --dir.
const authorityDir = "ca"

// Admin is who has the first certificate of a user, and the first token.
const Admin = "admin"

const (
	// tokenFile has the secret of the first token, in the directory of Admin.
	tokenFile = "token"
	// HashFile has its hash, in the directory of each coordinator, the first of which to
	// lead registers it.
	HashFile = "first-token.sha256"
)

// The ports of the commands that init prints.
const (
	apiPort      = 7070
	raftPort     = 7080
	exchangePort = 7090
)

// node is one that gets a certificate.
type node struct {
	kind, id string
	hosts    []string // by which others call it
}

// dir is where it is kept.
func (n node) dir(in string) string { return filepath.Join(in, n.kind+"-"+n.id) }

// parseNode reads id=host[,host…]; users have no hosts.
func parseNode(kind, text string) (node, error) {
	id, hosts, _ := strings.Cut(text, "=")
	n := node{kind: kind, id: id}
	if hosts != "" {
		n.hosts = strings.Split(hosts, ",")
	}
	if id == "" || kind != pki.User && len(n.hosts) == 0 || kind == pki.User && len(n.hosts) > 0 {
		want := "its name and the host by which others reach it: w1=10.0.0.7 or w1=host.example.org,10.0.0.7"
		if kind == pki.User {
			want = "a name"
		}
		return n, terminal.UsageError(kind, text, want)
	}
	for _, h := range n.hosts {
		if _, _, err := net.SplitHostPort(h); err == nil || h == "" || strings.ContainsAny(h, "/ ") {
			return n, terminal.UsageError(kind, text, "hosts without a port, commas between them")
		}
	}
	return n, pki.Identity{Cluster: "c", Kind: kind, ID: id}.Validate()
}

// certificateHosts adds the machine itself to the hosts: tools there call it so.
func (n node) certificateHosts() []string {
	if n.kind == pki.User {
		return nil
	}
	return append(n.hosts, "localhost", "127.0.0.1", "::1")
}

// New returns the command.
func New(*verb.Globals) *cobra.Command {
	var dir, cluster string
	var coordinators, workers []string
	cmd := &cobra.Command{
		Use:   "init --dir DIR --coordinator ID=HOST … --worker ID=HOST …",
		Short: "Make the certificates of a cluster: an authority, one for each node, and an administrator's",
		Long: "init makes an authority in DIR/ca and a directory for each node: its certificate,\n" +
			"its key and the authority's certificate. Take each to its machine, and keep DIR/ca\n" +
			"where no node is: who has its key is everybody. Nothing is overwritten.\n\n" +
			"Another authority serves as well if its certificates have the URI\n" +
			"spiffe://CLUSTER/coordinator/ID, …/worker/ID or …/user/NAME: put tls.crt, tls.key and\n" +
			"ca.crt into a directory, as TLS secrets of Kubernetes are.",
		Example: "  thalweg init --dir pki --coordinator c1=10.0.0.1 --coordinator c2=10.0.0.2 --coordinator c3=10.0.0.3 \\\n" +
			"    --worker w1=10.0.0.4 --worker w2=10.0.0.5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes := []node{}
			for _, of := range []struct {
				kind  string
				texts []string
			}{{pki.Coordinator, coordinators}, {pki.Worker, workers}, {pki.User, []string{Admin}}} {
				for _, text := range of.texts {
					n, err := parseNode(of.kind, text)
					if err != nil {
						return err
					}
					nodes = append(nodes, n)
				}
			}
			now := time.Now()
			authority, err := pki.Create(filepath.Join(dir, authorityDir), cluster, now)
			if err != nil {
				return err
			}
			for _, n := range nodes {
				if err := authority.Issue(n.dir(dir), n.kind, n.id, n.certificateHosts(), now); err != nil {
					return err
				}
			}
			if err := issueToken(dir, nodes); err != nil {
				return err
			}
			printNext(cmd.OutOrStdout(), dir, nodes)
			return nil
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "thalweg", "the cluster's name, another than that of others with the same authority")
	cmd.Flags().StringArrayVar(&coordinators, "coordinator", nil, "a coordinator, and the hosts by which others reach it: c1=host[,host…]; three survive the loss of one")
	cmd.Flags().StringArrayVar(&workers, "worker", nil, "a worker, and the hosts by which others reach it: w1=host[,host…]")
	cmd.PersistentFlags().StringVar(&dir, "dir", "", "where the certificates are kept; new")
	verb.Must(cmd.MarkPersistentFlagRequired("dir"))
	verb.Must(cmd.MarkFlagRequired("coordinator"))
	cmd.AddCommand(newNode(&dir))
	return cmd
}

// issueToken makes the first token: its secret for the administrator, and its hash for
// the coordinators.
func issueToken(dir string, nodes []node) error {
	secret := auth.NewSecret()
	for _, n := range nodes {
		file, text := filepath.Join(n.dir(dir), tokenFile), secret
		switch n.kind {
		case pki.Worker:
			continue
		case pki.Coordinator:
			file, text = filepath.Join(n.dir(dir), HashFile), auth.Hash(secret)
		}
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			return &thalweg.Error{Op: "make the first token", Kind: thalweg.Invalid, Subject: file, Err: err}
		}
	}
	return nil
}

// printNext tells what to do with the certificates.
func printNext(w io.Writer, dir string, nodes []node) {
	var apis []string
	used := make(map[string]int) // of each kind, by host: several on one machine need ports of their own
	ports := func(n node) int {
		used[n.kind+n.hosts[0]]++
		return used[n.kind+n.hosts[0]] - 1
	}
	at := make([]int, len(nodes))
	for i, n := range nodes {
		if n.kind != pki.User {
			at[i] = ports(n)
		}
		if n.kind == pki.Coordinator {
			apis = append(apis, net.JoinHostPort(n.hosts[0], strconv.Itoa(apiPort+at[i])))
		}
	}
	fmt.Fprintf(w, "The authority is %s: keep it where no node is.\n\n", filepath.Join(dir, authorityDir))
	fmt.Fprintf(w, "Take each directory to its machine, into /etc/thalweg/certs for example, and start there:\n\n")
	for i, n := range nodes {
		switch n.kind {
		case pki.Coordinator:
			fmt.Fprintf(w, "  # on %s\n  thalweg coordinator --id %s --certs %s --dir %s --listen-api :%d --listen-raft :%d --advertise %s \\\n    --join %s --bootstrap-expect %d\n",
				n.hosts[0], n.id, n.dir(dir), n.id, apiPort+at[i], raftPort+at[i], n.hosts[0], strings.Join(apis, ","), len(apis))
		case pki.Worker:
			fmt.Fprintf(w, "  # on %s\n  thalweg worker --id %s --certs %s --dir %s --listen :%d --advertise %s --coordinator %s\n", n.hosts[0],
				n.id, n.dir(dir), n.id, exchangePort+at[i], net.JoinHostPort(n.hosts[0], strconv.Itoa(exchangePort+at[i])), strings.Join(apis, ","))
		case pki.User:
			fmt.Fprintf(w, "\nTo ask the cluster, with %s:\n\n  export THALWEG_CERTS=%s THALWEG_COORDINATOR=%s\n  thalweg status\n", n.dir(dir), n.dir(dir), strings.Join(apis, ","))
			fmt.Fprintf(w, "\nWithout the certificate, %s is as good, with THALWEG_TOKEN_FILE and the ca.crt in THALWEG_CERTS.\n`thalweg token create` makes tokens that may less.\n", filepath.Join(n.dir(dir), tokenFile))
		}
	}
}
