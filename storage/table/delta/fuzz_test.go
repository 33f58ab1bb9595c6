package delta_test

import (
	"testing"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage/table/delta"
)

// FuzzDecodeCommit reads what anybody may have written as a version: it is
// understood or Corrupt, and what is understood can be applied or is refused.
func FuzzDecodeCommit(f *testing.F) {
	f.Add([]byte(`{"commitInfo":{"timestamp":1,"txnId":"x"}}` + "\n" + `{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}` + "\n" +
		`{"metaData":{"id":"x","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}","partitionColumns":[],"configuration":{}}}` + "\n" +
		`{"add":{"path":"a","partitionValues":{"d":null},"size":1,"modificationTime":1,"dataChange":true,"stats":"{}"}}` + "\n" +
		`{"remove":{"path":"b","dataChange":false}}` + "\n" + `{"txn":{"appId":"a","version":3}}`))
	f.Add([]byte("\n\n{}\n"))
	f.Add([]byte(`{"add":{"path":"a","partitionValues":{"d":"` + "\xff" + `"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := delta.DecodeCommit(0, data)
		if err != nil {
			if !thalweg.Is(err, thalweg.Corrupt) {
				t.Errorf("%v", err)
			}
			return
		}
		s := delta.NewSnapshot()
		if err := s.Apply(c); err != nil {
			if s.Version != -1 || len(s.Recent) > 0 || len(s.Txns) > 0 {
				t.Errorf("refused (%v), and yet %+v", err, s)
			}
			return
		}
		if s.Version != 0 || s.Schema == nil && s.Metadata.ID == "" {
			t.Errorf("%+v", s)
		}
		_ = s.Writable()
	})
}
