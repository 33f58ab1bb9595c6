package endpoint

import (
	"fmt"
	"strings"
)

// Table is the options of a format of tables.
type Table interface {
	// HowToRead says in a line each how the table at a path, bucket and key, of a
	// store is read; nothing where there is no table.
	HowToRead(store Store, path string) []string
	// LogDir is the folder beside the rows that is there once the table is.
	LogDir() string
}

// Store is how programs besides Thalweg reach a store.
type Store struct {
	Address string // http://host:port, https://host or file:///path
	Region  string
	// AccessKey and SecretKey are shown as they are: those of `thalweg dev`, which are
	// no secret, or words that stand for others.
	AccessKey, SecretKey string
}

// DeltaSource is the Parquet files that the newest version of a Delta table has; s3.path
// is the prefix of the table.
type DeltaSource struct{}

// NamesTable implements pipeline.TableSource.
func (*DeltaSource) NamesTable() {}

// NoTable is no table: only the log says which files count.
type NoTable struct{}

// HowToRead implements Table.
func (*NoTable) HowToRead(Store, string) []string { return nil }

// LogDir implements Table.
func (*NoTable) LogDir() string { return "" }

// Delta is a Delta table beside the rows, which pandas, DuckDB and Spark read in
// one call.
type Delta struct{}

// ReplacesAtOnce implements pipeline.Transactional.
func (*Delta) ReplacesAtOnce() {}

// LogDir implements Table.
func (*Delta) LogDir() string { return "_delta_log/" }

// HowToRead implements Table.
func (*Delta) HowToRead(store Store, path string) []string {
	lines := []string{"", "all rows as one table, a Delta table:"}
	uri, spark, options := "s3://"+path, "s3a://"+path, ""
	if dir, ok := strings.CutPrefix(store.Address, "file://"); ok {
		uri = dir + "/" + path
		spark = uri
	} else {
		scheme, host, _ := strings.Cut(store.Address, "://")
		options = fmt.Sprintf(`, storage_options={"endpoint_url": %q, "allow_http": "%t"}`, store.Address, scheme == "http")
		lines = append(lines,
			fmt.Sprintf("  first    export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s AWS_REGION=%s   # pandas and Spark", store.AccessKey, store.SecretKey, store.Region),
			fmt.Sprintf("  DuckDB   CREATE OR REPLACE SECRET thalweg (TYPE s3, KEY_ID %s, SECRET %s, REGION %s, ENDPOINT %s, URL_STYLE 'path', USE_SSL %t, SCOPE 's3://%s');",
				literal(store.AccessKey), literal(store.SecretKey), literal(store.Region), literal(host), scheme == "https", strings.Split(path, "/")[0]))
	}
	return append(lines,
		fmt.Sprintf("  DuckDB   SELECT * FROM delta_scan(%s);", literal(uri)),
		fmt.Sprintf("  pandas   deltalake.DeltaTable(%q%s).to_pandas()", uri, options),
		fmt.Sprintf(`  Spark    spark.read.format("delta").load(%q)   # with the options of STREAMS.md`, spark))
}

// literal writes a text of SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
