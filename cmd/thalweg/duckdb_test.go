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
	rows := sendRows(t, c, file, 0)
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

// The lines that results print for DuckDB and pandas find each row of a table of cleaned
// rows once.
func TestReadersReadATableOfCleanedRowsByTheLinesOfResults(t *testing.T) {
	c, _ := startDev(t, t.TempDir())
	const rows = 3000
	upload(t, c, fewFlights(t, rows))
	spec := filepath.Join(t.TempDir(), "clean.yaml")
	put(t, spec, `{apiVersion: thalweg/v1, kind: Pipeline, metadata: {name: clean-flights}, spec: {sources: {train: {s3: {path: "s3://lake/flights/*.parquet"}, format: {type: parquet}}},
  output: {s3: {path: "s3://lake/clean/flights/"}, partition_by: [date]}}}`)
	said(t, c, "apply", "-f", spec, "--wait")
	sql, script := "", "import os\nos.environ.update(AWS_ACCESS_KEY_ID='thalweg', AWS_SECRET_ACCESS_KEY='thalweg-dev-secret', AWS_REGION='us-east-1')\nimport deltalake\n"
	for line := range strings.Lines(said(t, c, "results", "clean-flights")) {
		line = strings.TrimSpace(line)
		if statement, ok := strings.CutPrefix(line, "DuckDB"); ok {
			sql += strings.TrimSpace(statement) + "\n"
		}
		if call, ok := strings.CutPrefix(line, "pandas"); ok {
			script += "print('pandas', len(" + strings.TrimSpace(call) + "))\n"
		}
	}
	file := filepath.Join(t.TempDir(), "read.py")
	put(t, file, script+inDuckDB(strings.NewReplacer("SELECT * ", "SELECT 'DuckDB', count(*) ").Replace(sql)))
	found, err := exec.Command(python(filepath.Dir(filepath.Dir(packageDir))), file).CombinedOutput()
	if err != nil || strings.Count(string(found), fmt.Sprint(rows)) != 2 {
		t.Errorf("%v: %s", err, found)
	}
}
