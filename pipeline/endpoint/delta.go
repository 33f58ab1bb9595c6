package endpoint

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed delta.go
var deltaSource string

// Table is the options of a format of tables.
type Table interface {
	// HowToRead says in a line each how the table at a path, bucket and key, of the
	// store at an address is read; nothing where there is no table.
	HowToRead(store, path string) []string
	// LogDir is the folder beside the rows that is there once the table is.
	LogDir() string
}

// NoTable is no table: only the log says which files count.
type NoTable struct{}

// HowToRead implements Table.
func (*NoTable) HowToRead(_, _ string) []string { return nil }

// LogDir implements Table.
func (*NoTable) LogDir() string { return "" }

// Delta is a Delta table beside the rows, which pandas, DuckDB and Spark read in
// one call.
type Delta struct{}

// LogDir implements Table.
func (*Delta) LogDir() string { return "_delta_log/" }

// HowToRead implements Table.
func (*Delta) HowToRead(store, path string) []string {
	uri, spark, options, needs := "s3://"+path, "s3a://"+path, "", " (keys and region from the environment; DuckDB and Spark also need the endpoint "+store+")"
	if dir, ok := strings.CutPrefix(store, "file://"); ok {
		uri, needs = dir+"/"+path, ""
		spark = uri
	} else {
		options = fmt.Sprintf(`, storage_options={"endpoint_url": %q, "allow_http": "%t"}`, store, strings.HasPrefix(store, "http://"))
	}
	return []string{
		"",
		"all rows as one table, a Delta table at " + uri + needs + ":",
		fmt.Sprintf("  pandas   deltalake.DeltaTable(%q%s).to_pandas()", uri, options),
		fmt.Sprintf("  DuckDB   SELECT * FROM delta_scan('%s')", uri),
		fmt.Sprintf(`  Spark    spark.read.format("delta").load(%q)`, spark),
	}
}
