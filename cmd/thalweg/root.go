package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/alerts"
	"github.com/thalweg/thalweg/cmd/thalweg/audit"
	"github.com/thalweg/thalweg/cmd/thalweg/debug"
	"github.com/thalweg/thalweg/cmd/thalweg/demo"
	"github.com/thalweg/thalweg/cmd/thalweg/dlq"
	setup "github.com/thalweg/thalweg/cmd/thalweg/init"
	"github.com/thalweg/thalweg/cmd/thalweg/jobs"
	"github.com/thalweg/thalweg/cmd/thalweg/members"
	"github.com/thalweg/thalweg/cmd/thalweg/models"
	"github.com/thalweg/thalweg/cmd/thalweg/produce"
	"github.com/thalweg/thalweg/cmd/thalweg/profile"
	"github.com/thalweg/thalweg/cmd/thalweg/quality"
	"github.com/thalweg/thalweg/cmd/thalweg/rollout"
	"github.com/thalweg/thalweg/cmd/thalweg/runs"
	"github.com/thalweg/thalweg/cmd/thalweg/stream"
	"github.com/thalweg/thalweg/cmd/thalweg/token"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// commands is the table of verbs, with the global flags that each uses: adding
// one is one file and one line here.
var commands = []struct {
	add  func(*verb.Globals) *cobra.Command
	uses string
}{
	{newDev, verb.Logs + "connections schema-registry"},
	{demo.New, ""},
	{setup.New, ""},
	{newCoordinator, verb.Logs + "certs connections state-bucket store"},
	{newWorker, verb.Logs + "certs coordinator connections kafka schema-registry state-bucket store"},
	{newNew, verb.Data},
	{profile.New, verb.Prints + verb.Data},
	{newValidate, verb.Prints + verb.Data},
	{newClean, verb.Prints + verb.Data},
	{newRender, ""},
	{newSchema, ""},
	{newPlan, verb.Asks},
	{newExplain, verb.Prints},
	{newApply, verb.Asks},
	{newDelete, verb.Asks},
	{newStatus, verb.Asks},
	{alerts.New, verb.Asks},
	{debug.New, verb.Asks},
	{members.New, verb.Asks},
	{runs.New, verb.Asks},
	{models.New, verb.Asks},
	{rollout.New, verb.Asks},
	{stream.New, verb.Asks},
	{newSchedule, verb.Asks},
	{newResults, verb.Asks},
	{newReplay, verb.Asks},
	{newScore, verb.Asks},
	{newCounterfactual, verb.Asks},
	{newDiff, verb.Asks},
	{newLineage, verb.Scores},
	{dlq.New, verb.Asks},
	{newDrift, verb.Asks},
	{newVerify, verb.Asks},
	{quality.New, verb.Asks},
	{newFsck, verb.Asks},
	{jobs.New, verb.Asks},
	{token.New, verb.Asks},
	{audit.New, verb.Asks},
	{newBackup, verb.Asks},
	{newRestore, verb.Asks},
	{newPut, verb.Prints + "connections store"},
	{produce.New, verb.Prints + "connections kafka schema-registry store"},
	{newVersion, ""},
}

func newRoot() *cobra.Command {
	g := &verb.Globals{}
	root := &cobra.Command{
		Use:   "thalweg",
		Short: "Train a model on tables, and score a stream of events with it",
		Long: "Thalweg trains a model on tables in S3 and scores a Kafka topic with it, each\n" +
			"event exactly once, from one YAML spec. Start with `thalweg dev`.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	g.Register(root.PersistentFlags())
	for _, c := range commands {
		cmd := c.add(g)
		if cmd.Annotations == nil {
			cmd.Annotations = map[string]string{verb.UsesFlags: c.uses}
		}
		root.AddCommand(cmd)
	}
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		used := verb.UsedFlags(cmd)
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = !slices.Contains(used, f.Name) })
		return usage(cmd)
	})
	plainUsage(root)
	return root
}

// plainUsage lets every command below say what is wrong with a command line and
// where help is; one that only groups others refuses names that it has not.
func plainUsage(cmd *cobra.Command) {
	help := "`" + cmd.CommandPath() + " --help` tells how"
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return &thalweg.Error{Op: verbOf(cmd), Kind: thalweg.Invalid, Err: err, Hint: help}
	})
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.Args, cmd.RunE = knownVerb, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	} else if cmd.Runnable() {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := countArguments(cmd.Use, args)
			if err != nil && len(args) > 0 && cmd.HasSubCommands() {
				return knownVerb(cmd, args)
			}
			if err = cmp.Or(err, missingFlags(cmd)); err == nil {
				return nil
			}
			return &thalweg.Error{Op: verbOf(cmd), Kind: thalweg.Invalid, Err: err, Hint: "usage: " + cmd.UseLine()}
		}
	}
	for _, sub := range cmd.Commands() {
		plainUsage(sub)
	}
}

// countArguments says which argument is missing or too many, by the names that
// the line of usage has for them; those in brackets need not be there.
func countArguments(use string, args []string) error {
	var names []string
	words := strings.Fields(use)[1:]
	for i := 0; i < len(words); i++ {
		switch {
		case strings.HasPrefix(words[i], "-"):
			i++ // a flag and its value
		case words[i] != "…":
			names = append(names, words[i])
		}
	}
	switch {
	case len(args) > len(names):
		return fmt.Errorf("%q is an argument too many", args[len(names)])
	case len(args) < len(names) && names[len(args)][0] != '[':
		return errors.New(names[len(args)] + " is missing")
	}
	return nil
}

// missingFlags names the flags that must be given and are not.
func missingFlags(cmd *cobra.Command) error {
	var missing []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return errors.New(missing[0] + " is missing")
	}
	return errors.New(strings.Join(missing, ", ") + " are missing")
}

// verbOf is the name of a command below the root.
func verbOf(cmd *cobra.Command) string {
	_, verb, ok := strings.Cut(cmd.CommandPath(), " ")
	if !ok {
		return "read command line"
	}
	return verb
}

// knownVerb refuses what is not the name of a subcommand.
func knownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	hint := spelling.Hint(args[0], slices.Values(names))
	if hint == "" {
		hint = "one of " + strings.Join(names, ", ")
	}
	err := &thalweg.Error{Kind: thalweg.Invalid, Err: fmt.Errorf("no command %s", args[0]), Hint: hint}
	if cmd.HasParent() {
		err.Op = verbOf(cmd)
	}
	return err
}
