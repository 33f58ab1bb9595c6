package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	setup "github.com/thalweg/thalweg/cmd/thalweg/init"
	"github.com/thalweg/thalweg/cmd/thalweg/process"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
	"github.com/thalweg/thalweg/pipeline"
	"github.com/thalweg/thalweg/pipeline/catalog"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/worker"
)

func newCoordinator(g *verb.Globals) *cobra.Command {
	cfg := coordinator.Config{Version: shortVersion(), SpecCatalog: catalog.All(), Stages: worker.Stages().Plan}
	var advertise, oidc string
	var users map[string]string
	var rate float64
	cmd := &cobra.Command{
		Use:   "coordinator --id ID --certs DIR --dir DIR --join HOST:PORT … --bootstrap-expect N",
		Short: "Run one node of the replicated coordinator",
		Long: "coordinator runs one node. Three or five make a cluster that survives the loss of\n" +
			"one or two. A node that belongs to none joins the one that a node of --join belongs\n" +
			"to, or founds one once --bootstrap-expect nodes know each other. Later it finds the\n" +
			"others by what its directory holds. `thalweg members` lists and removes nodes.",
		Example: "  thalweg coordinator --id c1 --certs pki/coordinator-c1 --dir ./c1 --advertise 10.0.0.1 \\\n" +
			"    --join 10.0.0.1:7070,10.0.0.2:7070,10.0.0.3:7070 --bootstrap-expect 3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			process.PrivateFiles()
			for _, a := range []struct {
				flag, listen string
				at           *string
			}{{"--listen-api", cfg.APIListen, &cfg.Join.API}, {"--listen-raft", cfg.RaftListen, &cfg.Join.Raft}} {
				host, port, err := net.SplitHostPort(a.listen)
				if err != nil || port == "0" {
					return terminal.UsageError(a.flag, a.listen, "host:port, or :port for all addresses of the machine, with --advertise")
				}
				*a.at = net.JoinHostPort(cmp.Or(advertise, host), port)
			}
			log, err := g.Logger()
			if err != nil {
				return err
			}
			if cfg.Credentials, err = g.NodeCredentials(log, pki.Coordinator, cfg.ID); err != nil {
				return err
			}
			if cfg.Auth, err = callers(g.Certs, users); err != nil {
				return err
			}
			cfg.Auth.Rate = rate
			if cfg.Auth.OIDC, err = openIDConnect(oidc); err != nil {
				return err
			}
			conns, err := g.Connections.Open()
			if err != nil {
				return err
			}
			defer conns.Close()
			cfg.Records = func(ctx context.Context) (storage.Bucket, error) { return conns.Bucket(ctx, "", g.Connections.State) }
			cfg.StateBucket, cfg.Webhooks = g.Connections.State, conns.Webhooks()
			traces, end, err := conns.Tracer(log, g.Connections.Traces, "thalweg-coordinator", cfg.ID, cfg.Version)
			if err != nil {
				return err
			}
			defer end()
			cfg.Traces = traces
			node, err := coordinator.New(log, cfg)
			if err != nil {
				return err
			}
			return process.UnderSystemd(cmd.Context(), log, node.Serving(), node.Run)
		},
	}
	cmd.Flags().StringVar(&cfg.ID, "id", "", "this node's name, as its certificate has it")
	cmd.Flags().StringVar(&cfg.Dir, "dir", "", "directory of the log and the snapshots")
	cmd.Flags().StringVar(&cfg.APIListen, "listen-api", ":7070", "address to listen on for requests, /metrics, /healthz and /readyz")
	cmd.Flags().StringVar(&cfg.RaftListen, "listen-raft", ":7080", "address to listen on for other coordinators")
	cmd.Flags().StringVar(&advertise, "advertise", "", "host by which others reach this node, a name or an address (default that of --listen-api and --listen-raft)")
	cmd.Flags().StringSliceVar(&cfg.Join.Addresses, "join", nil, "coordinators to find the cluster by: host:port of their API, commas between them; this one may be among them")
	cmd.Flags().IntVar(&cfg.Join.Expect, "bootstrap-expect", 0, "how many nodes found a new cluster together, the same on each; 0: this one only joins")
	cmd.Flags().DurationVar(&cfg.Join.RemoveDeadAfter, "remove-dead-after", time.Hour, "how long a coordinator may be unreachable before it is removed, where three that vote stay")
	cmd.Flags().Float64Var(&rate, "rate-limit", 500, "requests a second that one client may make in the long run; workers' polls and probes are not counted")
	cmd.Flags().StringToStringVar(&users, "user", map[string]string{setup.Admin: auth.Admin.String()},
		"what users with a certificate may do: name=role[:pipeline[:pipeline…]], a role for all pipelines or some; role is reader, submitter, operator or admin")
	cmd.Flags().StringVar(&oidc, "oidc", os.Getenv("THALWEG_OIDC"),
		"file that says which tokens of an issuer of OpenID Connect are taken, and what its groups may do; the same on each coordinator [THALWEG_OIDC]")
	g.Connections.RegisterTraces(cmd.Flags())
	for _, f := range []string{"id", "dir"} {
		verb.Must(cmd.MarkFlagRequired(f))
	}
	return cmd
}

// callers says who may call: users by their certificates, and the holder of the token
// that init made, whose hash lies beside the node's certificate.
func callers(certs string, users map[string]string) (*auth.Config, error) {
	a := &auth.Config{Users: make(map[string]auth.Grant)}
	for name, text := range users {
		g, err := auth.ParseGrant(text)
		if err != nil {
			return nil, &thalweg.Error{Op: "--user", Kind: thalweg.Invalid, Subject: name + "=" + text, Err: err}
		}
		a.Users[name] = g
	}
	file := filepath.Join(certs, setup.HashFile)
	hash, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &thalweg.Error{Op: "read hash of the first token", Kind: thalweg.Invalid, Subject: file, Err: err}
	}
	a.FirstToken = strings.TrimSpace(string(hash))
	return a, nil
}

// oidcForm is the form of the --oidc file.
type oidcForm struct {
	Issuer      string            `yaml:"issuer"`
	Audience    string            `yaml:"audience"`
	CA          string            `yaml:"ca"`           // file of the certificates to trust, PEM; default: whom the system trusts
	GroupsClaim string            `yaml:"groups_claim"` // default groups
	NameClaim   string            `yaml:"name_claim"`   // shown beside the subject
	Groups      map[string]string `yaml:"groups"`       // group: role[:pipeline[:pipeline…]]
	Loopback    bool              `yaml:"loopback"`     // the issuer's name may lead to this machine
}

// openIDConnect reads the --oidc file; nil without one.
func openIDConnect(file string) (*auth.OIDC, error) {
	if file == "" {
		return nil, nil
	}
	var form oidcForm
	data, err := terminal.ReadFile("read --oidc", file, pipeline.MaxSpecBytes, "")
	if err == nil {
		err = pipeline.DecodeFile("OpenID Connect file", file, data, &form)
	}
	if err != nil {
		return nil, err
	}
	bad := func(field string, err error) error {
		return &thalweg.Error{Op: "read --oidc", Kind: thalweg.Invalid, Subject: file + ": " + field, Err: err}
	}
	o := &auth.OIDC{Issuer: form.Issuer, Audience: form.Audience, GroupsClaim: form.GroupsClaim, NameClaim: form.NameClaim,
		Groups: make(map[string]auth.Grant), Loopback: form.Loopback}
	for group, text := range form.Groups {
		if o.Groups[group], err = auth.ParseGrant(text); err != nil {
			return nil, bad("groups: "+group, err)
		}
	}
	if form.CA != "" {
		pem, err := os.ReadFile(form.CA)
		o.RootCAs = x509.NewCertPool()
		if err == nil && !o.RootCAs.AppendCertsFromPEM(pem) {
			err = errors.New("no certificate in PEM form")
		}
		if err != nil {
			return nil, bad("ca "+form.CA, err)
		}
	}
	if err := o.Validate(); err != nil {
		return nil, bad("", err)
	}
	return o, nil
}
