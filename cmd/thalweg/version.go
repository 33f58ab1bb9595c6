package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/verb"
)

// version is set at link time: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func newVersion(*verb.Globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary",
		Example: "  thalweg version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "thalweg %s\n", buildOf())
			return err
		},
	}
}

// buildOf says what this binary is: version, revision, compiler and platform.
func buildOf() string {
	return fmt.Sprintf("%s %s %s/%s", shortVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// shortVersion is the version with the revision.
func shortVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return version + " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return version
}
