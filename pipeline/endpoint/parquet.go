package endpoint

import _ "embed"

//go:embed parquet.go
var parquetSource string

// Parquet is Parquet files, which have no options.
type Parquet struct{}
