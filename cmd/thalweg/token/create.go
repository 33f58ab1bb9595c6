package token

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/coordinator/auth"
	"github.com/thalweg/thalweg/worker/cluster"
)

// never is what --expires says of a token that does not.
const never = "never"

func newCreate(g *verb.Globals) *cobra.Command {
	req := &apiv1.CreateTokenRequest{}
	var expires, file string
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Make a token, and print its secret",
		Example: "  thalweg token create --role submitter --pipelines 'flight*' --expires 30d ci",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			if _, err := auth.ParseRole(req.Role); err != nil {
				return verb.Answer{}, terminal.UsageError("--role", req.Role, "one of "+strings.Join(auth.RoleNames(), ", "))
			}
			after, err := parseExpiry(expires)
			if err != nil {
				return verb.Answer{}, err
			}
			if after > 0 {
				req.ExpiresAtUnixMs = time.Now().Add(after).UnixMilli()
			}
			secret := auth.NewSecret()
			req.Name, req.Sha256 = args[0], auth.Hash(secret)
			if file != "" { // before there is a token whose secret nobody has
				if err := writeSecret(file, secret); err != nil {
					return verb.Answer{}, err
				}
			}
			if _, err := c.CreateToken(cmd.Context(), req); err != nil {
				if file != "" {
					err = errors.Join(err, os.Remove(file))
				}
				return verb.Answer{}, err
			}
			value := map[string]any{"name": req.Name, "role": req.Role, "pipelines": req.Pipelines, "expiresAtUnixMs": req.ExpiresAtUnixMs, "file": file}
			if file == "" {
				value["secret"] = secret
			}
			return verb.Answer{Value: value, Table: func(w io.Writer) {
				if file == "" {
					fmt.Fprintln(w, secret)
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "token %s: %s of %s, expires %s; %s\n", req.Name, req.Role, strings.Join(req.Pipelines, ","), expiry(req.ExpiresAtUnixMs),
					cmp.Or(map[bool]string{true: "its secret is in " + file}[file != ""], "the secret is not shown again"))
			}}, nil
		}),
	}
	cmd.Flags().StringVar(&req.Role, "role", "", "reader, submitter, operator or admin")
	cmd.Flags().StringSliceVar(&req.Pipelines, "pipelines", []string{"*"}, "pipelines that it has the role for: names, or what names begin with and *")
	cmd.Flags().StringVar(&expires, "expires", "90d", "after how long it is good no more: 12h, 30d or never")
	cmd.Flags().StringVar(&file, "to", "", "new file for the secret, which only you can read, instead of printing it")
	verb.Must(cmd.MarkFlagRequired("role"))
	return cmd
}

// writeSecret writes a secret to a new file that only its owner reads.
func writeSecret(path, secret string) error {
	refused := func(err error) error {
		hint := ""
		if errors.Is(err, fs.ErrExist) {
			hint = "name a new file: nothing is overwritten"
		}
		return &thalweg.Error{Op: "write secret", Kind: thalweg.Invalid, Subject: path, Err: err, Hint: hint}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return refused(err)
	}
	_, err = io.WriteString(f, secret+"\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return refused(errors.Join(err, os.Remove(path)))
	}
	return nil
}

// parseExpiry reads after how long a token expires; 0: never.
func parseExpiry(text string) (time.Duration, error) {
	if text == never {
		return 0, nil
	}
	var d time.Duration
	var err error
	if days, is := strings.CutSuffix(text, "d"); is {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(text)
	}
	if err != nil || d <= 0 {
		return 0, terminal.UsageError("--expires", text, "such as 12h, 30d or never")
	}
	return d, nil
}

func expiry(unixMS int64) string {
	if unixMS == 0 {
		return never
	}
	return time.UnixMilli(unixMS).UTC().Format(time.RFC3339)
}
