package clean

import (
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline"
)

// Rows are balanced by few values, once all others have cleaned them, and in training.
func TestBalanceIsRefusedWhereItCannotBeDone(t *testing.T) {
	in := columns("s", "string", "i", "int64", "f", "float64")
	for step, want := range map[string]string{
		`{balance: {by: s, method: downsample, apply_to: [training, scoring]}}`:                     "apply_to: balance of events, which come one by one: not supported (write apply_to: [training])",
		`{balance: {by: x, method: downsample}}`:                                                    "by: there is no column x",
		`{balance: {by: f, method: upsample}}`:                                                      "by: column f is float64: rows are balanced by few different values (derive a string, int64 or bool of it)",
		`{balance: {by: s, method: weigh}}`:                                                         "method: ",
		`{trim: {columns: [s]}}, {balance: {by: s, method: weights}}`:                               "",
		`{balance: {by: s}}`:                                                                        "method: ",
		`{balance: {by: s, method: upsample}}, {trim: {columns: [s]}}`:                              "balance: rows are balanced once all other steps have cleaned them (put it last)",
		`{fill: {columns: [i], strategy: fill_with_mean}}, {balance: {by: i, method: upsample}}`:    "",
		`{derive: {column: late, expression: "i > 15"}}, {balance: {by: late, method: downsample}}`: "",
	} {
		plan, err := compile(t, "UTC", in, step)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got  %v\nwant %s", step, err, want)
		}
		if err != nil {
			continue
		}
		of, ok := plan.Balance()
		if !ok || of.Step != "2 balance" || !plan.Spec.Balances() || New(plan, pipeline.InScoring).Empty() {
			t.Errorf("%s: %v", step, of)
		}
	}
}
