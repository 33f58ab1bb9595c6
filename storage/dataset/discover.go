package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow/go/v15/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/parquet/decode"
	"github.com/thalweg/thalweg/storage/parquet/metadata"
	"github.com/thalweg/thalweg/storage/records"
)

// Discover lists the objects that pattern names, reads their footers and cuts
// them into shards. It returns the natural Arrow schema of all of them together;
// a column is nullable if any object may hold nulls in it, or lacks it. Objects may
// differ in their columns: see union.
//
// In a pattern * stands for any characters but a slash, ** for any number of
// whole path segments, ? and [a-z] for one character; without any of these it
// names one object. Passed over, and counted, are objects that a pattern with any
// of these names only by the way: temporary files, logs and markers of other tools,
// whose keys have a segment that begins with a dot or an underscore, and objects
// without a byte that are no Parquet by their name. Errors: NotFound naming the pattern if nothing matches,
// Corrupt naming the object whose footer cannot be read.
func Discover(ctx context.Context, b storage.Bucket, pattern string, cfg DiscoverConfig) (*Manifest, *arrow.Schema, error) {
	return discover(ctx, b, pattern, cfg, func(ctx context.Context, l *listing, info storage.Info, versioned bool) (discovered, error) {
		d, err := inspect(ctx, b, info, versioned)
		if thalweg.Is(err, thalweg.Corrupt) && extension(info.Key) != ".parquet" { // by its name it need not be Parquet
			err = &thalweg.Error{Op: "discover", Kind: thalweg.Corrupt, Subject: pattern, Err: err, Hint: l.hint(ctx, b, cfg.Root, "")}
		}
		return d, err
	})
}

// discover is Discover for objects of which inspect says what is in them.
func discover(ctx context.Context, b storage.Bucket, pattern string, cfg DiscoverConfig, inspect func(context.Context, *listing, storage.Info, bool) (discovered, error)) (*Manifest, *arrow.Schema, error) {
	l, err := list(ctx, b, pattern, cfg)
	if err != nil {
		return nil, nil, err
	}
	versioned, err := l.versioned(ctx)
	if err != nil {
		return nil, nil, err
	}
	files := make([]discovered, len(l.infos))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(footersAtOnce)
	for i, info := range l.infos {
		group.Go(func() error {
			skipped, err := l.cfg.look(func() (err error) {
				files[i], err = inspect(gctx, l, info, versioned)
				return err
			})
			if skipped != "" {
				files[i], err = leftOut(gctx, b, info, versioned, skipped)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	m := cut(pattern, files, l.cfg.ShardRows)
	m.PassedOver = l.passedOver
	schema, gaps := union(slices.DeleteFunc(files, func(d discovered) bool { return d.object.Skipped != "" }))
	m.Gaps = gaps
	return m, schema, m.partitioned()
}

// leftOut is what is known of an object that is left out.
func leftOut(ctx context.Context, b storage.Bucket, info storage.Info, versioned bool, why string) (d discovered, err error) {
	d.object, err = object(ctx, b, info, versioned)
	d.object.Skipped = why
	return d, err
}

// List returns a hash of the keys, sizes and ETags of the objects that Discover would
// read now, and how many they are. Another hash means other objects.
func List(ctx context.Context, b storage.Bucket, pattern string, cfg DiscoverConfig) (hash string, objects int, err error) {
	l, err := list(ctx, b, pattern, cfg)
	if err != nil {
		return "", 0, err
	}
	sum := sha256.New()
	for _, info := range l.infos {
		fmt.Fprintf(sum, "%q %d %q\n", info.Key, info.SizeBytes, info.ETag)
	}
	return hex.EncodeToString(sum.Sum(nil)), len(l.infos), nil
}

// listing is the objects that a pattern names, in byte order of their keys.
type listing struct {
	*glob
	bucket     storage.Bucket
	cfg        DiscoverConfig
	infos      []storage.Info
	passedOver int64 // that are not among them
}

// list lists the objects that a pattern names, at least one.
func list(ctx context.Context, b storage.Bucket, pattern string, cfg DiscoverConfig) (*listing, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g, err := parseGlob(pattern)
	if err != nil {
		return nil, err
	}
	l, markers := &listing{glob: g, bucket: b, cfg: cfg.withDefaults()}, true
	for info, err := range b.List(ctx, g.prefix, "") {
		if err != nil {
			return nil, &thalweg.Error{Op: "discover", Subject: pattern, Err: err}
		}
		if !g.match(info.Key) {
			continue
		}
		if cfg.Only != nil && !cfg.Only[info.Key] {
			continue
		}
		if cfg.Only == nil && g.hides(info) {
			l.passedOver++
			markers = markers && info.SizeBytes == 0
			continue
		}
		if len(l.infos) == l.cfg.MaxObjects {
			return nil, &thalweg.Error{Op: "discover", Kind: thalweg.Exhausted, Subject: pattern,
				Err: fmt.Errorf("more than %d objects match", l.cfg.MaxObjects), Hint: "write fewer, larger objects, or name a part of them"}
		}
		l.infos = append(l.infos, info)
	}
	if len(l.infos) == 0 {
		e := &thalweg.Error{Op: "discover", Kind: thalweg.NotFound, Subject: pattern, Err: errors.New("no object matches")}
		if l.passedOver > 0 {
			e.Err = fmt.Errorf("no object matches but %d that are passed over", l.passedOver)
		}
		if markers {
			ext := extension(records.Extension(pattern))
			if ext == ".parquet" {
				ext = ""
			}
			e.Hint = g.hint(ctx, b, l.cfg.Root, ext)
		} else {
			e.Hint = "spell a segment that begins with . or _ out in the pattern"
		}
		return nil, e
	}
	return l, nil
}

// discovered is what an object's footer says of it.
type discovered struct {
	object Object
	rows   []int64 // by row group
	fields []arrow.Field
	// begins are where row groups begin, and end where the last ends, in objects that
	// are read from there on.
	begins []int64
	end    int64
	// warning is of an object that is odd and read all the same.
	warning string
}

// versioned reports whether the bucket keeps versions of its objects, which
// a listing does not tell: then each object is asked for its own.
func (l *listing) versioned(ctx context.Context) (bool, error) {
	head, err := l.bucket.Head(ctx, l.infos[0].Key)
	if err != nil {
		return false, &thalweg.Error{Op: "discover", Subject: objectSubject(l.infos[0].Key), Err: err}
	}
	return head.Version != "", nil
}

// object returns a listed object, asked for its ETag and version where the listing does
// not tell them.
func object(ctx context.Context, b storage.Bucket, info storage.Info, versioned bool) (Object, error) {
	if info.ETag == "" || versioned {
		head, err := b.Head(ctx, info.Key)
		if err != nil {
			return Object{}, err
		}
		info = head
	}
	return Object{Key: info.Key, SizeBytes: info.SizeBytes, ETag: info.ETag, Version: info.Version}, nil
}

func inspect(ctx context.Context, b storage.Bucket, info storage.Info, versioned bool) (d discovered, err error) {
	if d.object, err = object(ctx, b, info, versioned); err != nil {
		return d, &thalweg.Error{Op: "discover", Subject: objectSubject(info.Key), Err: err}
	}
	file, err := readFooter(ctx, b, info.Key, d.object.SizeBytes)
	if err != nil {
		return discovered{}, err
	}
	d.object.Rows, d.object.RowGroups = file.Rows, len(file.RowGroups)
	for _, g := range file.RowGroups {
		d.rows = append(d.rows, g.Rows)
	}
	if file.Uncounted {
		d.warning = fmt.Sprintf("object %s: its footer says 0 rows, its row groups hold %d: these are read", info.Key, file.Rows)
	}
	d.fields = fieldsOf(file)
	return d, nil
}

// fieldsOf returns the natural Arrow fields of a file's columns.
func fieldsOf(file *metadata.File) []arrow.Field {
	fields := make([]arrow.Field, 0, len(file.Schema.Children))
	for _, n := range file.Schema.Children {
		f, err := decode.Field(n)
		if err != nil {
			f = arrow.Field{Name: n.Name, Type: &unusable{why: err.Error()}, Nullable: true}
		}
		fields = append(fields, f)
	}
	return fields
}

// cut makes the manifest: each row group a shard, except that neighbours whose
// rows together are at most target are one.
func cut(pattern string, files []discovered, target int64) *Manifest {
	m := &Manifest{Path: pattern, Objects: []Object{}, Shards: []Shard{}}
	for i, f := range files {
		if f.warning != "" && len(m.Warnings) < maxWarnings {
			m.Warnings = append(m.Warnings, f.warning)
		}
		m.Objects = append(m.Objects, f.object)
		m.SizeBytes += f.object.SizeBytes
		open := false // the last shard is of this object and may grow
		for g, rows := range f.rows {
			if last := len(m.Shards) - 1; open && m.Shards[last].Rows+rows <= target {
				m.Shards[last].Rows += rows
				m.Shards[last].EndRowGroup++
			} else {
				m.Shards = append(m.Shards, Shard{Object: i, FirstRowGroup: g, EndRowGroup: g + 1, Rows: rows, FirstRow: m.Rows})
				open = true
			}
			if last := &m.Shards[len(m.Shards)-1]; f.begins != nil {
				if last.End = f.end; g+1 < len(f.begins) {
					last.End = f.begins[g+1]
				}
				last.Offset = f.begins[last.FirstRowGroup]
			}
			m.Rows += rows
		}
	}
	return m
}

// maxWarnings bounds the warnings of a manifest.
const maxWarnings = 20

// footersAtOnce bounds the requests for footers under way.
const footersAtOnce = 8

// tailBytes is how much of an object's end is fetched at first: enough for the
// footer of most, so that one request suffices.
const tailBytes = 64 << 10

// readFooter fetches and parses an object's footer.
func readFooter(ctx context.Context, b storage.Bucket, key string, size int64) (*metadata.File, error) {
	for n := min(size, tailBytes); ; {
		tail := make([]byte, n)
		if err := b.GetRange(ctx, key, size-n, tail); err != nil {
			return nil, &thalweg.Error{Op: "read footer", Subject: objectSubject(key), Err: err}
		}
		length, err := metadata.FooterLength(tail, size)
		if err != nil || length+metadata.TailSize <= n {
			return parseFooter(key, tail, size)
		}
		n = length + metadata.TailSize
	}
}

// parseFooter parses the footer that ends tail, the end of an object of the given
// size.
func parseFooter(key string, tail []byte, size int64) (file *metadata.File, err error) {
	err = guard(func() error {
		length, err := metadata.FooterLength(tail, size)
		if err != nil {
			return err
		}
		end := len(tail) - metadata.TailSize
		file, err = metadata.ParseFooter(tail[end-int(length):end], size)
		return err
	})
	if err != nil {
		return nil, failure("read footer", objectSubject(key), err)
	}
	return file, nil
}
