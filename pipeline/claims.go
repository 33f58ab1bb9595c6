package pipeline

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/pipeline/spelling"
)

// Use is what a place is for.
type Use uint8

// The uses of places.
const (
	Rows        Use = iota + 1 // a prefix: scored rows, log, dead letters, table
	DeadLetters                // a topic
	Dataset                    // a pattern of keys
	Events                     // a topic
	State                      // the bucket of checkpoints and results of runs
	RowsSent                   // a topic: scored rows
)

// Claim is a place that a spec writes to or reads from: keys of a bucket, or a topic.
type Claim struct {
	Use   Use
	Owner string // the pipeline; empty: the cluster
	Field string // of its spec
	At    string // file:line:column of the field
	// Hidden: whoever asks may not be told whose place it is, and where.
	Hidden bool

	Connection  string // empty: the default one
	Kind        string // of the connection
	Bucket, Key string
	Topic       string
}

// Claims returns the places that the spec writes to and reads from, the former first.
func (s *Spec) Claims() []Claim {
	claims := s.Spec.claims()
	for i := range claims {
		c := &claims[i]
		c.Owner = s.Metadata.Name
		if at := s.source.position(c.Field); s.source.has(c.Field) {
			c.At = fmt.Sprintf("%s:%d:%d", s.source.file, at.line, at.column)
		}
	}
	return claims
}

func (b *Body) claims() (claims []Claim) {
	keys := func(use Use, field, connection string, at *S3Location) {
		if at == nil {
			return
		}
		if bucket, key, err := SplitS3Path(at.Path); err == nil {
			claims = append(claims, Claim{Use: use, Field: field, Connection: connection, Kind: StoreConnection, Bucket: bucket, Key: key})
		}
	}
	if s := b.Scoring; s != nil {
		keys(Rows, "spec.scoring.sink.s3.path", s.Sink.Connection, s.Sink.S3)
		if k := s.Sink.Kafka; k != nil {
			claims = append(claims, Claim{Use: RowsSent, Field: "spec.scoring.sink.kafka.topic", Connection: k.Connection, Kind: kafkaConnection, Topic: k.Topic})
		}
		if d := s.DeadLetter.Delivery(); d != nil {
			kind := s.DeadLetter.Topic.Name
			claims = append(claims, Claim{Use: DeadLetters, Field: "spec.scoring.dead_letter." + kind + ".topic", Connection: d.Connection, Kind: kind, Topic: d.Topic})
		}
	}
	if o := b.Output; o != nil {
		keys(Rows, "spec.output.s3.path", o.Connection, o.S3)
	}
	keys(Dataset, "spec.sources.train.s3.path", b.Sources.Train.Connection, filesOf(b.Sources.Train.S3, b.Sources.Train.Format))
	if f := b.Sources.Train.LabelFile; f != nil {
		keys(Dataset, labelFilePath+".s3.path", f.Connection, filesOf(f.S3, f.Format))
	}
	if m := b.Monitoring; m != nil && m.Labels != nil {
		keys(Dataset, lateLabelsPath+".s3.path", m.Labels.Connection, filesOf(m.Labels.S3, m.Labels.Format))
	}
	for i, l := range b.Lookups {
		keys(Dataset, fmt.Sprintf("spec.lookups[%d].s3.path", i), l.Connection, filesOf(l.S3, l.Format))
	}
	if e := b.Sources.Events; e.Reading() != nil && b.Scoring != nil {
		kind := e.Stream.Name
		claims = append(claims, Claim{Use: Events, Field: "spec.sources.events." + kind + ".topic", Connection: e.Connection, Kind: kind, Topic: e.Reading().Topic})
	}
	return claims
}

// filesOf is where the files of a dataset are: of a table those below its folder of rows.
func filesOf(at *S3Location, format Choice) *S3Location {
	if _, ok := format.Options.(TableSource); ok && at != nil {
		return &S3Location{Path: at.Path + rowsDir + "**/*.parquet"}
	}
	return at
}

// CheckPlaces reports connections that are not known, and places of the spec that
// cannot be used beside each other or beside those of others.
func (s *Spec) CheckPlaces(others []Claim, known Connections) error {
	found := &diagnostics{catalog: s.catalog, source: s.source}
	s.checkConnections(found, known)
	own := s.Claims()
	for i, c := range own {
		for _, o := range slices.Concat(own[i+1:], others) {
			if why, hint := c.Conflict(o, known); why != "" {
				Place{found: found}.Problem(c.Field, hint, "%s", why)
			}
		}
	}
	return found.err()
}

// Conflict says why a place cannot be used beside another, and what to do; "" if it
// can. Keys are compared by segments, buckets and topics by name and by where their
// connections are.
func (c Claim) Conflict(o Claim, known Connections) (why, hint string) {
	if c.Kind != o.Kind || c.Bucket != o.Bucket || c.Topic != o.Topic {
		return "", ""
	}
	one, how := known.same(c.Kind, c.Connection, o.Connection)
	if !one {
		return "", ""
	}
	ownPrefix, another := "give it a prefix of its own", "name another topic"
	switch {
	case c.Use == Rows && o.Use == Rows && c.Key == o.Key:
		why, hint = fmt.Sprintf("%s is where %s puts its rows", c, o.owner(c)), ownPrefix
	case c.Use == Rows && o.Use == Rows && (strings.HasPrefix(c.Key, o.Key) || strings.HasPrefix(o.Key, c.Key)):
		why, hint = fmt.Sprintf("%s lies in or around %s, where %s puts its rows", c, o, o.owner(c)), ownPrefix
	case c.Use == Rows && o.Use == State:
		why, hint = fmt.Sprintf("%s lies in the bucket of the cluster's state", c), "give it another bucket"
	case c.Use == Rows && o.Use == Dataset && c.mixes(o):
		why, hint = fmt.Sprintf("%s lies in or around %s, the training data of %s", c, o, o.owner(c)), ownPrefix
	case c.Use == Dataset && o.Use == Rows && o.mixes(c):
		why, hint = fmt.Sprintf("%s lies in or around %s, where %s puts its rows", c, o, o.owner(c)), "name files elsewhere; rows alone are "+o.String()+rowsDir+"**/*.parquet"
	case c.Use == DeadLetters && o.Use == Events && c.Owner == o.Owner:
		why, hint = fmt.Sprintf("dead letters would come back as events: %s is the topic of the events", c.Topic), another
	case c.Use == DeadLetters && o.Use == Events:
		why, hint = fmt.Sprintf("dead letters would become events: %s is the topic that %s scores", c.Topic, o.owner(c)), another
	case c.Use == Events && o.Use == DeadLetters:
		why, hint = fmt.Sprintf("its events would be dead letters: %s is the topic that gets those of %s", c.Topic, o.owner(c)), another
	case c.Use == RowsSent && o.Use == Events && c.Owner == o.Owner:
		why, hint = fmt.Sprintf("scored rows would come back as events: %s is the topic of the events", c.Topic), another
	case c.Use == RowsSent && o.Use == DeadLetters:
		why, hint = fmt.Sprintf("scored rows would lie among dead letters: %s is the topic that gets those of %s", c.Topic, o.owner(c)), another
	case c.Use == DeadLetters && o.Use == RowsSent:
		why, hint = fmt.Sprintf("dead letters would lie among scored rows: %s is the topic that gets those of %s", c.Topic, o.owner(c)), another
	default:
		return "", ""
	}
	if o.Hidden {
		return fmt.Sprintf("another pipeline has %s, or a place in or around it", c), "name another place"
	}
	return why + how, hint
}

// rowsDir is where below a sink the scored rows are.
const rowsDir = "data/"

// mixes reports whether a sink and training data would mix: rows would be trained
// on, or files lie among what the sink has. Another pipeline's rows can be trained on.
func (c Claim) mixes(data Claim) bool {
	folder, pattern := data.Key, strings.IndexAny(data.Key, "*?[")
	if pattern >= 0 {
		folder = data.Key[:strings.LastIndexByte(data.Key[:pattern], '/')+1]
	}
	switch {
	case pattern < 0 && strings.HasPrefix(c.Key, data.Key+"/"), pattern >= 0 && folder != "" && strings.HasPrefix(c.Key, folder):
		return true
	case pattern >= 0 && folder == "":
		// The first folders are a pattern: could a file of rows match it?
		return mayMatch(strings.Split(data.Key, "/"), strings.Split(c.Key+rowsDir+"topic/00000/rows.parquet", "/"))
	}
	return strings.HasPrefix(folder, c.Key) && (c.Owner == data.Owner || !strings.HasPrefix(folder, c.Key+rowsDir))
}

// mayMatch reports whether a key may match a pattern, by segments.
func mayMatch(pattern, key []string) bool {
	for i, p := range pattern {
		if p == "**" {
			return true
		}
		if i == len(key) {
			return false
		}
		if ok, err := path.Match(p, key[i]); !ok && err == nil {
			return false
		}
	}
	return len(pattern) == len(key)
}

// String returns s3://bucket/key, or the topic.
func (c Claim) String() string {
	if c.Bucket == "" {
		return c.Topic
	}
	return "s3://" + c.Bucket + "/" + c.Key
}

// owner names whose a place is to the owner of another, and where that says so.
func (c Claim) owner(to Claim) string {
	who := "pipeline " + c.Owner
	if c.Owner == to.Owner {
		who = "the same pipeline"
	}
	return fmt.Sprintf("%s (%s)", who, strings.TrimPrefix(c.At+": "+c.Field, ": "))
}

// Kinds of connections; those to streams have the names of the streams.
const (
	StoreConnection    = "store"
	RegistryConnection = "schema registry"
	KeyConnection      = "key"
	kafkaConnection    = "kafka"
)

// DefaultConnection is the one that is meant where a spec names none.
const DefaultConnection = "default"

// Connection is one that an operator registered.
type Connection struct {
	Kind, Name string
	// Addresses are where it leads to.
	Addresses []string
}

// Connections are those that are known; none: nobody has said.
type Connections []Connection

// same reports whether two connections of a kind lead to one place, and how that is
// known where their names differ.
func (k Connections) same(kind, a, b string) (same bool, how string) {
	a, b = cmp.Or(a, DefaultConnection), cmp.Or(b, DefaultConnection)
	if a == b {
		return true, ""
	}
	of, at := k.addresses(kind, a), k.addresses(kind, b)
	how = fmt.Sprintf(" (by connection %s as by %s: ", a, b)
	switch i := slices.IndexFunc(of, func(address string) bool { return slices.Contains(at, address) }); {
	case i >= 0:
		return true, how + "both lead to " + of[i] + ")"
	case len(of) == 0 || len(at) == 0:
		return true, how + "where they lead to is not known, so they are taken for one)"
	}
	return false, ""
}

func (k Connections) addresses(kind, name string) (all []string) {
	for _, c := range k {
		if c.Kind == kind && c.Name == name {
			all = append(all, c.Addresses...)
		}
	}
	return all
}

// checkConnections notes connections of the spec that are not among the known ones.
func (s *Spec) checkConnections(found *diagnostics, known Connections) {
	check := func(field, kind, name string) {
		name = cmp.Or(name, DefaultConnection)
		var names []string
		other := ""
		for _, c := range known {
			switch {
			case c.Kind == kind && c.Name == name:
				return
			case c.Kind == kind:
				names = append(names, c.Name)
			case c.Name == name && name != DefaultConnection: // there is one of each kind
				other = c.Kind
			}
		}
		slices.Sort(names)
		hint := "known are " + cmp.Or(strings.Join(slices.Compact(names), ", "), "none")
		if nearest := spelling.Hint(name, slices.Values(names)); nearest != "" {
			hint = nearest + "; " + hint
		}
		why := fmt.Sprintf("no worker has a %s connection %s", kind, name)
		if other != "" {
			why = fmt.Sprintf("connection %s is a %s connection, and a %s belongs here", name, other, kind)
		}
		Place{found: found}.Problem(field, hint, "%s", why)
	}
	if len(known) == 0 {
		return
	}
	b := &s.Spec
	check("spec.sources.train.connection", StoreConnection, b.Sources.Train.Connection)
	if name := b.Schema.KeyName(); name != "" {
		check("spec.schema.pii_key", KeyConnection, name)
	}
	if name := s.NoiseKey(); name != "" {
		check("spec.trainer.privacy.key", KeyConnection, name)
	}
	if f := b.Sources.Train.LabelFile; f != nil {
		check(labelFilePath+".connection", StoreConnection, f.Connection)
	}
	for i, l := range b.Lookups {
		check(fmt.Sprintf("spec.lookups[%d].connection", i), StoreConnection, l.Connection)
	}
	if b.Output != nil {
		check("spec.output.connection", StoreConnection, b.Output.Connection)
	}
	if b.Scoring == nil {
		return
	}
	check("spec.scoring.sink.connection", StoreConnection, b.Scoring.Sink.Connection)
	if m := b.Monitoring; m != nil && m.Labels != nil {
		kind := StoreConnection
		if m.Labels.S3 == nil {
			kind = m.Labels.Stream.Name
		}
		check(lateLabelsPath+".connection", kind, m.Labels.Connection)
	}
	if k := b.Scoring.Sink.Kafka; k != nil {
		check("spec.scoring.sink.kafka.connection", kafkaConnection, k.Connection)
	}
	if e := b.Sources.Events; e.Reading() != nil {
		check("spec.sources.events.connection", e.Stream.Name, e.Connection)
	}
	if name := s.SchemaRegistry(); name != "" {
		check("spec.sources.events.format.schema_registry", RegistryConnection, name)
	}
	if d := b.Scoring.DeadLetter; d.Delivery() != nil {
		check("spec.scoring.dead_letter."+d.Topic.Name+".connection", d.Topic.Name, d.Delivery().Connection)
	}
}

// SplitS3Path splits s3://bucket/key. The key may be empty. An error is
// thalweg.Invalid.
func SplitS3Path(p string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(p, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !ok || !isBucketName(bucket) {
		return "", "", &thalweg.Error{Op: "read path", Kind: thalweg.Invalid, Subject: strconv.Quote(p),
			Err: fmt.Errorf("not s3://bucket/key"), Hint: "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens"}
	}
	return bucket, key, nil
}

// S3PathFault says what is wrong with s3://bucket/key, and what to do about it; ""
// if objects can have such keys in every store.
func S3PathFault(p string) (fault, hint string) {
	_, key, err := SplitS3Path(p)
	if err != nil {
		return "is not s3://bucket/key", "a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens"
	}
	if strings.ContainsFunc(key, unicode.IsControl) {
		return "has a control character", ""
	}
	if len(key) > 1024 {
		return fmt.Sprintf("has a key of %d bytes", len(key)), "stores take 1024"
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		switch {
		case part == "" && key != "":
			return "has an empty part", "write one slash between two parts"
		case part == "." || part == "..":
			return "has a part " + part, "write the path without it: to a store it is a name like any other"
		case len(part) > 255:
			return fmt.Sprintf("has a part of %d bytes", len(part)), "stores take 255"
		}
	}
	return "", ""
}

// isBucketName applies the naming rules of S3 that every store enforces.
func isBucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 {
		return false
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '-' && c != '.' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}
