package dataset

import (
	"path"
	"slices"
	"strings"

	"github.com/thalweg/thalweg"
	"github.com/thalweg/thalweg/storage"
)

// glob is a pattern of keys, cut at its slashes.
type glob struct {
	segments []string
	// prefix is the part before the first special character: what a bucket is
	// asked to list.
	prefix string
}

func parseGlob(pattern string) (*glob, error) {
	invalid := func(why string) error {
		return &thalweg.Error{Op: "discover", Kind: thalweg.Invalid, Subject: pattern, Hint: why}
	}
	switch {
	case pattern == "":
		return nil, invalid("a pattern of objects is needed, like flights/*.parquet")
	case strings.HasPrefix(pattern, "/"):
		return nil, invalid("a pattern begins within the bucket, without a slash")
	case strings.HasSuffix(pattern, "/"):
		return nil, invalid("name objects, not a folder: " + pattern + "*.parquet")
	}
	g := &glob{segments: strings.Split(pattern, "/"), prefix: pattern}
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		g.prefix = pattern[:i]
	}
	for i, s := range g.segments {
		if s != "**" && strings.Contains(s, "**") {
			whole := slices.Clone(g.segments)
			whole[i] = "**/" + strings.ReplaceAll(s, "**", "*")
			return nil, invalid("** stands for folders, so it stands alone between slashes: write " + strings.Join(whole, "/"))
		}
		if _, err := path.Match(s, ""); err != nil {
			return nil, invalid("a [ without its ]")
		}
	}
	return g, nil
}

// match reports whether the pattern names key.
func (g *glob) match(key string) bool {
	return matchSegments(g.segments, strings.Split(key, "/"))
}

// hides reports whether an object that the pattern names is passed over, as
// readers of lakes do: a segment of its key begins with a dot, or with an
// underscore without being a partition (_day=1), and the pattern does not spell
// that out; or it marks a folder, without a byte and by another name than Parquet's.
// A pattern that names one object hides nothing.
func (g *glob) hides(o storage.Info) bool {
	if g.prefix == strings.Join(g.segments, "/") {
		return false
	}
	for segment := range strings.SplitSeq(o.Key, "/") {
		if !strings.HasPrefix(segment, ".") && (!strings.HasPrefix(segment, "_") || strings.Contains(segment, "=")) {
			continue
		}
		spelt := func(p string) bool {
			ok, _ := path.Match(p, segment)
			return ok && strings.HasPrefix(p, segment[:1])
		}
		if !slices.ContainsFunc(g.segments, spelt) {
			return true
		}
	}
	return o.SizeBytes == 0 && !strings.HasSuffix(strings.ToLower(o.Key), ".parquet")
}

func matchSegments(pattern, key []string) bool {
	for i, p := range pattern {
		if p == "**" {
			for from := i; from <= len(key); from++ {
				if matchSegments(pattern[i+1:], key[from:]) {
					return true
				}
			}
			return false
		}
		if i >= len(key) {
			return false
		}
		if ok, _ := path.Match(p, key[i]); !ok {
			return false
		}
	}
	return len(pattern) == len(key)
}
