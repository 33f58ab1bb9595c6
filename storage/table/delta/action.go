package delta

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// Protocol says what a reader and a writer must know.
type Protocol struct {
	MinReaderVersion int32    `json:"minReaderVersion" parquet:"minReaderVersion"`
	MinWriterVersion int32    `json:"minWriterVersion" parquet:"minWriterVersion"`
	ReaderFeatures   []string `json:"readerFeatures,omitempty" parquet:"readerFeatures,optional,list"`
	WriterFeatures   []string `json:"writerFeatures,omitempty" parquet:"writerFeatures,optional,list"`
}

// Format is the encoding of a table's files.
type Format struct {
	Provider string            `json:"provider" parquet:"provider"`
	Options  map[string]string `json:"options" parquet:"options,optional"`
}

// Metadata says what a table is.
type Metadata struct {
	ID               string            `json:"id" parquet:"id"`
	Name             string            `json:"name,omitempty" parquet:"name,optional"`
	Description      string            `json:"description,omitempty" parquet:"description,optional"`
	Format           Format            `json:"format" parquet:"format"`
	SchemaString     string            `json:"schemaString" parquet:"schemaString"`
	PartitionColumns []string          `json:"partitionColumns" parquet:"partitionColumns,list"`
	CreatedTime      *int64            `json:"createdTime,omitempty" parquet:"createdTime,optional"` // ms since 1970 UTC
	Configuration    map[string]string `json:"configuration" parquet:"configuration"`
}

// withDefaults returns m without nulls where the protocol has a map or an array.
func (m *Metadata) withDefaults() Metadata {
	out := *m
	if out.Format.Options == nil {
		out.Format.Options = map[string]string{}
	}
	if out.Configuration == nil {
		out.Configuration = map[string]string{}
	}
	out.PartitionColumns = append([]string{}, m.PartitionColumns...)
	return out
}

// Add names a file that belongs to the table from this version on.
type Add struct {
	Path             string             `json:"path" parquet:"path"` // from the table's prefix, as a URI
	PartitionValues  map[string]*string `json:"partitionValues" parquet:"partitionValues"`
	Size             int64              `json:"size" parquet:"size"`
	ModificationTime int64              `json:"modificationTime" parquet:"modificationTime"` // ms since 1970 UTC
	DataChange       bool               `json:"dataChange" parquet:"dataChange"`
	Stats            string             `json:"stats,omitempty" parquet:"stats,optional"` // JSON
	Tags             map[string]string  `json:"tags,omitempty" parquet:"tags,optional"`

	// DeletionVector marks rows as deleted: a table feature that this package
	// does not have.
	DeletionVector json.RawMessage `json:"deletionVector,omitempty" parquet:"-"`
}

// Remove names a file that no longer belongs to the table.
type Remove struct {
	Path                 string             `json:"path" parquet:"path"`
	DeletionTimestamp    int64              `json:"deletionTimestamp,omitempty" parquet:"deletionTimestamp,optional"` // ms since 1970 UTC
	DataChange           bool               `json:"dataChange" parquet:"dataChange"`
	ExtendedFileMetadata bool               `json:"extendedFileMetadata,omitempty" parquet:"extendedFileMetadata,optional"`
	PartitionValues      map[string]*string `json:"partitionValues,omitempty" parquet:"partitionValues,optional"`
	Size                 int64              `json:"size,omitempty" parquet:"size,optional"`
}

// Txn says how far an application has come: what it committed up to Version
// is in the table.
type Txn struct {
	AppID       string `json:"appId" parquet:"appId"`
	Version     int64  `json:"version" parquet:"version"`
	LastUpdated int64  `json:"lastUpdated,omitempty" parquet:"lastUpdated,optional"` // ms since 1970 UTC
}

// CommitInfo says who committed.
type CommitInfo struct {
	Timestamp           int64          `json:"timestamp,omitempty"` // ms since 1970 UTC
	Operation           string         `json:"operation,omitempty"`
	OperationParameters map[string]any `json:"operationParameters,omitempty"`
	IsBlindAppend       bool           `json:"isBlindAppend"`
	EngineInfo          string         `json:"engineInfo,omitempty"`
	TxnID               string         `json:"txnId,omitempty"` // unique to this attempt to commit
	Sum                 string         `json:"sum,omitempty"`   // sha256 of the lines after this one, which comes first: no field of the protocol
}

// Action changes one thing about a table: exactly one field is set. It is also a
// row of a checkpoint: the protocol's checkpoint schema, V1, without what this
// package does not write.
type Action struct {
	CommitInfo *CommitInfo `json:"commitInfo,omitempty" parquet:"-"`
	Protocol   *Protocol   `json:"protocol,omitempty" parquet:"protocol,optional"`
	Metadata   *Metadata   `json:"metaData,omitempty" parquet:"metaData,optional"`
	Txn        *Txn        `json:"txn,omitempty" parquet:"txn,optional"`
	Add        *Add        `json:"add,omitempty" parquet:"add,optional"`
	Remove     *Remove     `json:"remove,omitempty" parquet:"remove,optional"`
}

// Commit is one version of a table: what has changed with it.
type Commit struct {
	Version int64
	Actions []Action
}

// TxnID returns the unique id of the attempt that made the commit; "" if its
// writer gave none.
func (c *Commit) TxnID() string {
	for _, a := range c.Actions {
		if a.CommitInfo != nil {
			return a.CommitInfo.TxnID
		}
	}
	return ""
}

// Encode returns the actions as lines of JSON; the first must be a CommitInfo,
// which is given the sum of the others: the protocol has none, and a bit that
// flips on the way would be believed.
func (c *Commit) Encode() ([]byte, error) {
	var rest, out bytes.Buffer
	write := func(to *bytes.Buffer, a Action) error {
		e := json.NewEncoder(to)
		e.SetEscapeHTML(false)
		if err := e.Encode(a); err != nil {
			return &thalweg.Error{Op: "encode table version", Kind: thalweg.Invalid, Subject: fmt.Sprint(c.Version), Err: err}
		}
		return nil
	}
	if len(c.Actions) == 0 || c.Actions[0].CommitInfo == nil {
		return nil, &thalweg.Error{Op: "encode table version", Kind: thalweg.Invalid, Subject: fmt.Sprint(c.Version), Err: errors.New("its first action is no commitInfo")}
	}
	for _, a := range c.Actions[1:] {
		if err := write(&rest, a); err != nil {
			return nil, err
		}
	}
	info := *c.Actions[0].CommitInfo
	info.Sum = storage.SHA256(rest.Bytes())
	if err := write(&out, Action{CommitInfo: &info}); err != nil {
		return nil, err
	}
	out.Write(rest.Bytes())
	if out.Len() > MaxCommitBytes {
		return nil, &thalweg.Error{Op: "encode table version", Kind: thalweg.Exhausted, Subject: fmt.Sprint(c.Version),
			Err: fmt.Errorf("%d bytes, at most %d fit", out.Len(), MaxCommitBytes)}
	}
	return out.Bytes(), nil
}

// DecodeCommit is the inverse of Encode for what any writer may have written.
// Actions and fields that the protocol does not make mandatory are passed over,
// as it demands; what is known must be well formed, else the error is Corrupt
// and names the line.
func DecodeCommit(version int64, data []byte) (*Commit, error) {
	c := &Commit{Version: version}
	fail := func(line int, err error) error {
		return corrupt("decode table version", fmt.Sprintf("version %d, line %d", version, line), err)
	}
	lines := bufio.NewReader(bytes.NewReader(data))
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return c, nil
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		a, known, err := decodeAction(line)
		if err != nil {
			return nil, fail(n, err)
		}
		if n == 1 && a.CommitInfo != nil && a.CommitInfo.Sum != "" {
			at := bytes.IndexByte(data, '\n')
			if at < 0 || storage.SHA256(data[at+1:]) != a.CommitInfo.Sum {
				return nil, fail(n, errors.New("the lines after it do not have its sum"))
			}
		}
		if known {
			c.Actions = append(c.Actions, a)
		}
	}
}

func decodeAction(line []byte) (a Action, known bool, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return a, false, err
	}
	if len(fields) != 1 {
		return a, false, fmt.Errorf("%d actions in one line", len(fields))
	}
	for name, body := range fields {
		if string(body) == "null" {
			return a, false, fmt.Errorf("the action %.40q is null", name)
		}
		into := func(v any) { err = json.Unmarshal(body, v) }
		known = true
		switch name {
		case "commitInfo":
			into(&a.CommitInfo)
			if err != nil { // free form: other writers put anything here
				a.CommitInfo, err = &CommitInfo{}, nil
			}
		case "protocol":
			into(&a.Protocol)
		case "metaData":
			into(&a.Metadata)
		case "txn":
			into(&a.Txn)
		case "add":
			into(&a.Add)
		case "remove":
			into(&a.Remove)
		default:
			known = false
		}
	}
	if err != nil {
		return a, false, err
	}
	return a, known, a.validate()
}

// validate checks what must hold of an action by itself.
func (a *Action) validate() error {
	switch {
	case a.Protocol != nil && (a.Protocol.MinReaderVersion < 1 || a.Protocol.MinWriterVersion < 1):
		return fmt.Errorf("a protocol of reader version %d and writer version %d", a.Protocol.MinReaderVersion, a.Protocol.MinWriterVersion)
	case a.Metadata != nil && (a.Metadata.ID == "" || a.Metadata.SchemaString == ""):
		return errors.New("metadata without an id or a schema")
	case a.Metadata != nil && a.Metadata.Format.Provider != "parquet":
		return fmt.Errorf("files of format %.40q", a.Metadata.Format.Provider)
	case a.Txn != nil && a.Txn.AppID == "":
		return errors.New("a txn without an appId")
	case a.Add != nil && (a.Add.Path == "" || a.Add.Size < 0):
		return fmt.Errorf("an added file %.200q of %d bytes", a.Add.Path, a.Add.Size)
	case a.Remove != nil && a.Remove.Path == "":
		return errors.New("a removed file without a path")
	}
	return nil
}
