package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/cmd/thalweg/connections"
	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// globals are the flags that every command takes; its help shows those that it
// uses.
type globals struct {
	coordinators []string
	output       string
	logLevel     string
	connections  connections.Flags
}

// The sets of global flags that verbs use.
const (
	logs   = "log-level "
	data   = "connections store " // it reads training data
	prints = "output "
	asks   = "coordinator " + prints                       // it asks the coordinators and prints what they say
	reads  = asks + "connections store "                   // it reads the results of a stream too
	scores = reads + "kafka schema-registry state-bucket " // it scores as a worker does
)

// commands is the table of verbs, with the global flags that each uses: adding
// one is one file and one line here.
var commands = []struct {
	add  func(*globals) *cobra.Command
	uses string
}{
	{newDev, logs + "connections schema-registry"},
	{newDemo, ""},
	{newCoordinator, logs + "connections state-bucket store"},
	{newWorker, logs + "coordinator connections kafka schema-registry state-bucket store"},
	{newNew, data},
	{newProfile, prints + data},
	{newValidate, prints + data},
	{newClean, prints + data},
	{newRender, ""},
	{newSchema, ""},
	{newPlan, asks},
	{newExplain, prints},
	{newApply, asks},
	{newDelete, asks},
	{newStatus, asks},
	{newRuns, asks},
	{newModels, asks},
	{newStream, asks},
	{newSchedule, asks},
	{newResults, reads},
	{newReplay, scores},
	{newScore, asks},
	{newCounterfactual, reads},
	{newDiff, reads},
	{newLineage, scores},
	{newDLQ, reads},
	{newVerify, scores},
	{newFsck, reads},
	{newPut, prints + "connections store"},
	{newProduce, prints + "connections kafka schema-registry store"},
	{newVersion, ""},
}

// usesFlags is the annotation of a command that uses other global flags than
// the verb above it: their names, with spaces between.
const usesFlags = "uses-flags"

func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "thalweg",
		Short: "Train a model on tables, and score a stream of events with it",
		Long: "Thalweg trains a model on tables in S3 and scores a Kafka topic with it, each\n" +
			"event exactly once, from one YAML spec. Start with `thalweg dev`.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringSliceVar(&g.coordinators, "coordinator", connections.EnvList("THALWEG_COORDINATOR", connections.APIAddress),
		"coordinator addresses (host:port), one or more [THALWEG_COORDINATOR]")
	flags.StringVarP(&g.output, "output", "o", "table", "output format: table, json or yaml")
	flags.StringVar(&g.logLevel, "log-level", "info", "log level: debug, info, warn or error")
	g.connections.Register(flags)
	for _, c := range commands {
		cmd := c.add(g)
		if cmd.Annotations == nil {
			cmd.Annotations = map[string]string{usesFlags: c.uses}
		}
		root.AddCommand(cmd)
	}
	usage := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		used := usedFlags(cmd)
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = !slices.Contains(used, f.Name) })
		return usage(cmd)
	})
	plainUsage(root)
	return root
}

// usedFlags returns the names of the global flags that a command uses.
func usedFlags(cmd *cobra.Command) []string {
	for ; cmd != nil; cmd = cmd.Parent() {
		if names, ok := cmd.Annotations[usesFlags]; ok {
			return strings.Fields(names)
		}
	}
	return nil
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

// logger writes text lines to standard error.
func (g *globals) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, terminal.UsageError("--log-level", g.logLevel, "one of debug, info, warn, error")
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}
