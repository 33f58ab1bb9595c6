package fsck

import (
	"context"
	"fmt"
	"strings"
)

// maxForeign bounds the objects beside those of the sink that are looked at: people
// keep files of their own there.
const maxForeign = 10_000

// others reports sinks of others below the prefix: what lies beside the folders of
// the sink is nobody's business, but for rows.
func (j *judge) others(ctx context.Context) error {
	n, told := 0, make(map[string]bool)
	for after, more := "", true; more; {
		more = false
		for info, err := range j.bucket.List(ctx, j.prefix, after) {
			if err != nil {
				return err
			}
			dir, _, _ := strings.Cut(strings.TrimPrefix(info.Key, j.prefix), "/")
			if dir == "data" || dir == "_log" || dir == "_dead" || dir == "_monitor" || dir == "_delta_log" {
				after, more = j.prefix+dir+"/\U0010ffff", true // behind all that is in it
				break
			}
			if n++; n > maxForeign {
				return nil
			}
			if sink := j.sinkOf(info.Key); sink != "" && !told[sink] {
				told[sink] = true
				if whose := j.ofWhom(ctx, info.Key); whose != "" {
					j.verdict.violate(4, info.Key, "another sink lies in this one%s", whose)
				}
			}
		}
	}
	return nil
}

// sinkOf returns the prefix of the sink below this one that a key may be of, "" for
// none.
func (j *judge) sinkOf(key string) string {
	rest := key[len(j.prefix):]
	at := -1
	for _, dir := range []string{"/_log/", "/data/", "/_dead/", "/_delta_log/"} {
		at = max(at, strings.LastIndex(rest, dir))
	}
	if at < 0 {
		return ""
	}
	return j.prefix + rest[:at+1]
}

// ofWhom says which pipeline has put an object below this sink, "" if no log tells.
func (j *judge) ofWhom(ctx context.Context, key string) string {
	sink := j.sinkOf(key)
	if sink == "" {
		return ""
	}
	owner, known := j.owners[sink]
	if !known {
		for info, err := range j.bucket.List(ctx, sink+"_log/", "") {
			if err != nil {
				break
			}
			var in intentRecord
			if body, _, err := j.bucket.Get(ctx, info.Key); err == nil && strings.HasSuffix(info.Key, ".intent.json") && parseRecord(body, &in) == "" {
				owner = in.Pipeline
				break
			}
		}
		j.owners[sink] = owner
	}
	if owner == "" {
		return ""
	}
	return fmt.Sprintf(": it is of pipeline %q, which puts its rows into %s", owner, sink)
}
