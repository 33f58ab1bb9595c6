//go:build integration

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The lines that results print for DuckDB find each row, copied as they are.
func TestDuckDBReadsTheTableByTheLinesOfResults(t *testing.T) {
	c, _ := startDev(t, t.TempDir())
	cl := client(t, c)
	file := filepath.Join(t.TempDir(), "flights.parquet")
	body := fewFlights(t, 3000)
	put(t, file, string(body))
	upload(t, c, body)
	applyAndWait(t, cl, demoSpec(t))
	rows := produce(t, c, file, 0)
	committed(t, c, cl, rows)
	var sql string
	eventually(t, "the table to have all rows", func() error {
		out, err := command(t, c, "results", "flight-delays")
		if err != nil {
			return err
		}
		sql = ""
		for line := range strings.Lines(out) {
			if statement, ok := strings.CutPrefix(strings.TrimSpace(line), "DuckDB"); ok {
				sql += strings.TrimSpace(statement) + "\n"
			}
		}
		counted := strings.NewReplacer("SELECT * ", "SELECT 'rows:', count(DISTINCT (_partition, _offset)), count(*) ").Replace(sql)
		script := filepath.Join(t.TempDir(), "read.py")
		put(t, script, inDuckDB(counted))
		found, err := exec.Command(python(filepath.Dir(filepath.Dir(packageDir))), script).CombinedOutput()
		if err == nil && strings.Count(string(found), fmt.Sprint(rows)) != 2 {
			err = errors.New("not every row is found once")
		}
		if err != nil {
			return fmt.Errorf("%w: %s of\n%s", err, found, counted)
		}
		return nil
	})
}
