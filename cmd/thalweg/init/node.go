package setup

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/coordinator/auth/pki"
)

func newNode(dir *string) *cobra.Command {
	var renew bool
	cmd := &cobra.Command{
		Use:   "node KIND ID[=HOST] --dir DIR",
		Short: "Make the certificate of another node or user by the same authority, or renew one",
		Long: "init node makes the directory of a coordinator, a worker or a user. --renew\n" +
			"replaces key and certificate of one that has it, for the same hosts; a node that\n" +
			"runs takes the files when they are replaced in its directory, without a restart.",
		Example: "  thalweg init node worker w9=10.0.0.9 --dir pki\n" +
			"  thalweg init node user ada --dir pki\n" +
			"  thalweg init node worker w9 --dir pki --renew",
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, now := args[0], time.Now()
			authority, err := pki.OpenAuthority(filepath.Join(*dir, authorityDir))
			if err != nil {
				return err
			}
			if renew {
				n := node{kind: kind, id: args[1]}
				id := pki.Identity{Cluster: authority.Cluster(), Kind: n.kind, ID: n.id}
				if err := id.Validate(); err != nil {
					return err
				}
				if id, err = authority.Renew(n.dir(*dir), now); err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s: tls.crt and tls.key of %s are new. Replace those of the node; it takes them while it runs.\n", n.dir(*dir), id)
				}
				return err
			}
			switch kind {
			case pki.Coordinator, pki.Worker, pki.User:
			default:
				return terminal.UsageError("KIND", kind, "coordinator, worker or user")
			}
			n, err := parseNode(kind, args[1])
			if err != nil {
				return err
			}
			if err := authority.Issue(n.dir(*dir), n.kind, n.id, n.certificateHosts(), now); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is made: take it to its machine, and name it there with --certs.\n", n.dir(*dir))
			return nil
		},
	}
	cmd.Flags().BoolVar(&renew, "renew", false, "replace the key and the certificate that are there")
	return cmd
}
