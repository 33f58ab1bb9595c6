package endpoint

// Parquet is Parquet files, which have no options.
type Parquet struct{}

// ParquetSink is Parquet files of scored rows.
type ParquetSink struct {
	// Compression of a sink's files. Default zstd: half the size of snappy's files
	// at nearly its speed.
	Compression string `yaml:"compression,omitempty" json:"compression,omitempty" jsonschema:"enum=zstd,enum=snappy,enum=none" default:"zstd"`
}
