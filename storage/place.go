package storage

// Place is a prefix of a bucket.
type Place struct {
	Bucket Bucket
	Name   string // of the bucket
	Prefix string // empty, or ending in a slash
}

// String returns s3://name/prefix.
func (p Place) String() string { return "s3://" + p.Name + "/" + p.Prefix }
