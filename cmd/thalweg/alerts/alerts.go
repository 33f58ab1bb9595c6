// Package alerts has the verb that lists what is the matter.
package alerts

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/coordinator/alert"
	apiv1 "github.com/thalweg/thalweg/coordinator/api/v1"
	"github.com/thalweg/thalweg/worker/cluster"
)

// New returns the verb.
func New(g *verb.Globals) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "alerts [PIPELINE]",
		Short: "List the alerts that fire, what to do about each, and who was told",
		Long: "alerts lists what the leader has found to be the matter, of one pipeline, or of all and of\n" +
			"the cluster. An alert is pending until its condition has held for as long as its rule says,\n" +
			"then it fires, and webhooks are told: those of spec.monitoring.alerts, or of the cluster's\n" +
			"alerts those that are registered with cluster: true. docs/alerts.md has the rules.",
		Example: "  thalweg alerts\n  thalweg alerts flight-delays --all -o json",
		RunE: g.Ask(func(cmd *cobra.Command, c *cluster.Client, args []string) (verb.Answer, error) {
			res, err := c.ListAlerts(cmd.Context(), &apiv1.ListAlertsRequest{Pipeline: verb.Argument(args, 0), Resolved: all})
			return verb.Answer{Value: res, Table: func(w io.Writer) { printAlerts(w, res.Alerts) }}, err
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "also those that were resolved lately")
	return cmd
}

func printAlerts(w io.Writer, alerts []*apiv1.Alert) {
	if len(alerts) == 0 {
		fmt.Fprintln(w, "no alerts")
		return
	}
	terminal.Row(w, "ALERT", "SEVERITY", "STATE", "OF", "SINCE", "FIRES", "RESOLVED", "TOLD", "MESSAGE")
	for _, a := range alerts {
		terminal.Row(w, a.Rule, a.Severity, a.State, a.Subject, terminal.Clock(a.SinceUnixMs), terminal.Clock(a.FiresUnixMs), terminal.Clock(a.ResolvedUnixMs), toldShown(a), terminal.Shorten(a.Message, 120))
	}
	fmt.Fprintln(w)
	shown := map[string]bool{}
	for _, a := range alerts {
		if a.State != alert.Resolved && !shown[a.Rule] {
			shown[a.Rule] = true
			fmt.Fprintf(w, "%s: %s (%s)\n", a.Rule, a.Action, a.Docs)
		}
		for _, s := range a.Sends {
			if s.Error != "" {
				fmt.Fprintf(w, "webhook %s could not be told of %s %s: %s\n", s.Webhook, a.Rule, a.Subject, s.Error)
			}
		}
	}
}

// toldShown says what webhooks were told of an alert.
func toldShown(a *apiv1.Alert) string {
	var all []string
	for _, s := range a.Sends {
		all = append(all, s.Webhook+": "+cmp.Or(s.Told, "not yet"))
	}
	return strings.Join(all, ", ")
}
