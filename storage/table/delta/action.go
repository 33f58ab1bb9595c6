package delta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

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

// path returns that of the file that the action adds or removes, else "".
func (a *Action) path() string {
	switch {
	case a.Add != nil:
		return a.Add.Path
	case a.Remove != nil:
		return a.Remove.Path
	}
	return ""
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
	fail := func(kind thalweg.Kind, err error) ([]byte, error) {
		return nil, &thalweg.Error{Op: "encode table version", Kind: kind, Subject: fmt.Sprint(c.Version), Err: err}
	}
	if len(c.Actions) == 0 || c.Actions[0].CommitInfo == nil {
		return fail(thalweg.Invalid, errors.New("its first action is no commitInfo"))
	}
	later, err := encodeActions(c.Actions[1:]...)
	if err != nil {
		return fail(thalweg.Invalid, err)
	}
	info := *c.Actions[0].CommitInfo
	info.Sum = storage.SHA256(later)
	body, err := encodeActions(Action{CommitInfo: &info})
	if err != nil {
		return fail(thalweg.Invalid, err)
	}
	if body = append(body, later...); len(body) > MaxCommitBytes {
		return fail(thalweg.Exhausted, fmt.Errorf("%d bytes, at most %d fit", len(body), MaxCommitBytes))
	}
	return body, nil
}

func encodeActions(actions ...Action) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for _, a := range actions {
		if err := e.Encode(a); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// DecodeCommit is the inverse of Encode for what any writer may have written.
// Actions and fields that the protocol does not make mandatory are passed over,
// as it demands; what is known must be well formed, else the error is Corrupt
// and names the line.
func DecodeCommit(version int64, data []byte) (*Commit, error) {
	c := &Commit{Version: version}
	_, later, more := bytes.Cut(data, []byte("\n"))
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		a, err := decodeAction(line)
		if info := a.CommitInfo; err == nil && n == 1 && info != nil && info.Sum != "" && (!more || storage.SHA256(later) != info.Sum) {
			err = errors.New("the lines after it do not have its sum")
		}
		if err != nil {
			return nil, corrupt("decode table version", fmt.Sprintf("version %d, line %d", version, n), err)
		}
		if a != (Action{}) {
			c.Actions = append(c.Actions, a)
		}
	}
	return c, nil
}

// decodeAction returns no action where a line has one that is not known.
func decodeAction(line []byte) (a Action, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return a, err
	}
	if len(fields) != 1 {
		return a, fmt.Errorf("%d actions in one line", len(fields))
	}
	for name, body := range fields {
		if string(body) == "null" {
			return a, fmt.Errorf("the action %.40q is null", name)
		}
		if name == "commitInfo" { // free form: other writers put anything here
			if json.Unmarshal(body, &a.CommitInfo) != nil {
				a.CommitInfo = &CommitInfo{}
			}
			return a, nil
		}
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, err
	}
	return a, a.validate()
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

// Create returns the actions that make a table of Parquet files. id has 32 hex digits that
// no other table has.
func Create(id string, schema Schema, partitions []string, nowMS int64) []Action {
	b := []byte(id)
	b[12], b[16] = '4', 'a' // a UUID of version 4
	return []Action{
		{Protocol: Supported()},
		{Metadata: &Metadata{ID: fmt.Sprintf("%s-%s-%s-%s-%s", b[:8], b[8:12], b[12:16], b[16:20], b[20:]),
			Format: Format{Provider: "parquet", Options: map[string]string{}}, SchemaString: schema.String(),
			PartitionColumns: append([]string{}, partitions...), CreatedTime: &nowMS, Configuration: map[string]string{}}},
	}
}
