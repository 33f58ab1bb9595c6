package profile

import (
	"github.com/spf13/cobra"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/cmd/thalweg/verb"
	"github.com/thalweg/thalweg/pipeline/profile"
)

func newDiff(g *verb.Globals) *cobra.Command {
	page := ""
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Say how the rows of two profiles differ",
		Long: "diff reads two profiles that `thalweg profile -o json` wrote, and says which columns are new,\n" +
			"gone or of another type, and how much the values of the others have shifted: the population\n" +
			"stability index (PSI: below 0.1 little, above 0.25 much) and the Jensen-Shannon divergence (JS:\n" +
			"0 the same, 1 nothing in common). Numbers are compared in bins of a twentieth of those before,\n" +
			"texts by the 50 most frequent ones before; missing values are a bin of their own.",
		Example: "  thalweg profile --from flights.parquet -o json > before.json\n" +
			"  thalweg profile -f flights.yaml --cleaned -o json > after.json\n" +
			"  thalweg profile diff before.json after.json\n" +
			"  thalweg profile diff before.json after.json --html drift.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			var both [2]*profile.Profile
			for i, name := range args {
				data, err := terminal.ReadFile("read profile", name, profile.MaxBytes, "write it by `thalweg profile -o json`")
				if err == nil {
					both[i], err = profile.Decode(name, data)
				}
				if err != nil {
					return err
				}
			}
			d := profile.Compare(both[0], both[1])
			if err := writePage(page, args[1]+" against "+args[0], both[1], d); err != nil {
				return err
			}
			return g.Print(cmd.OutOrStdout(), d, d.WriteTable)
		},
	}
	cmd.Flags().StringVar(&page, "html", "", "write the difference and the profile AFTER into this file too, as a page with plots")
	return cmd
}
