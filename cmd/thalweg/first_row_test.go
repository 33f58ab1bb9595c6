//go:build integration

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v15/arrow"
)

// firstRowWithin is how long somebody new waits for the first scored row of their own
// data, from an empty directory on.
const firstRowWithin = time.Minute

// The first scored row of a table that Thalweg has never seen comes within a minute:
// dev, new, put as the draft says it, apply, produce, results.
func TestTheFirstScoredRowOfOnesOwnDataTakesLessThanAMinute(t *testing.T) {
	dir := t.TempDir()
	install(t, filepath.Join(dir, "bin"))
	random := rand.New(rand.NewPCG(5, 6))
	at := func(i int) time.Time { return time.Date(2025, 3, 1, 0, 11*i, 0, 0, time.UTC) }
	var price float64
	writeTable(t, filepath.Join(dir, "orders.parquet"), 20_000,
		tableColumn{"order_id", aWhole, func(i int) any { return 100_000 + i }},
		tableColumn{"ordered at", &arrow.TimestampType{Unit: arrow.Millisecond}, func(i int) any { return at(i).Format("2006-01-02T15:04:05") }},
		tableColumn{"price", aNumber, func(int) any { price = 10 * random.ExpFloat64(); return price }},
		tableColumn{"country", aText, func(int) any { return []any{"no", "se", "dk", nil}[random.IntN(4)] }},
		tableColumn{"returned", aText, func(int) any {
			if price+5*random.NormFloat64() > 15 {
				return "yes"
			}
			return "no"
		}})
	env := []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}

	began := time.Now()
	last := began
	took := func(step string) {
		t.Logf("%6.2f s  %s", time.Since(last).Seconds(), step)
		last = time.Now()
	}
	dev := startShell(t, dir, env)
	ready, ok := dev.start("thalweg dev --free-ports", "Shell ")
	if !ok {
		t.Fatal(ready)
	}
	took("thalweg dev")
	s := startShell(t, dir, env)
	do := func(command string) string {
		t.Helper()
		out, code := s.run(command)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", command, code, out)
		}
		took(command)
		return out
	}
	do("export " + regexp.MustCompile(`Shell +export (.*)`).FindStringSubmatch(ready)[1])
	do("thalweg new --from orders.parquet --label returned --topic orders > orders.yaml")
	next := regexp.MustCompile(`# Next, beside .thalweg dev.: "(.*)", then`).FindStringSubmatch(do("cat orders.yaml"))
	if next == nil {
		t.Fatal("the draft does not say how the data gets where it looks for it")
	}
	do(next[1])
	do("thalweg apply -f orders.yaml --wait")
	do("thalweg produce orders.parquet --topic orders")
	var rows string
	eventually(t, "the first row", func() error {
		var code int
		if rows, code = s.run("thalweg results orders --head 1"); code != 0 || !strings.HasPrefix(rows, "{") {
			return fmt.Errorf("exit code %d: %s", code, rows)
		}
		return nil
	})
	took("thalweg results orders --head 1")
	for _, want := range []string{`"probability":`, `"order_id":`, `"_offset":0`} {
		if !strings.Contains(rows, want) {
			t.Errorf("no %s in %s", want, rows)
		}
	}
	all := time.Since(began)
	if t.Logf("%6.2f s  in all", all.Seconds()); all > firstRowWithin {
		t.Errorf("it took %v, the bound is %v", all, firstRowWithin)
	}
}
