package membership

import (
	"context"
	"time"

	"github.com/thalweg/thalweg/coordinator/raftnode"
	"github.com/thalweg/thalweg/retry"
)

// keptVoters is how many voters stay when dead ones are removed: with fewer the next
// loss would stop the cluster.
const keptVoters = 3

// Keep lets new members vote once they hold the log, and removes dead ones,
// while this node leads, until ctx ends.
func (c *Cluster) Keep(ctx context.Context) {
	var term uint64
	var heard map[string]time.Time // soft: a new leader knows of no silence
	for retry.Sleep(ctx, attendEvery) == nil {
		switch now := c.cfg.Leading(); now {
		case 0:
			continue
		case term:
		default:
			term, heard = now, make(map[string]time.Time)
		}
		committed := c.node.AppliedIndex()
		members := c.node.Members()
		var addresses []string
		for _, m := range members {
			addresses = append(addresses, m.API)
		}
		answers := c.ofCluster(ctx, addresses)
		now := time.Now()
		applied := map[string]uint64{c.cfg.ID: committed}
		for _, h := range answers {
			applied[h.From.ID], heard[h.From.ID] = h.Applied, now
		}
		for _, m := range members {
			if _, known := heard[m.ID]; !known {
				heard[m.ID] = now
			}
		}
		promote, remove := judge(members, applied, heard, committed, c.cfg.Join.RemoveDeadAfter, now)
		if promote != nil {
			promote.Voter = true
			if err := c.node.Put(*promote); err == nil {
				c.log.Info("a coordinator holds the log, and votes from now on", keyMember, promote.ID)
			}
		}
		if remove != nil {
			if err := c.node.Remove(remove.ID); err == nil {
				c.log.Warn("a coordinator was unreachable for long, and was removed", keyMember, remove.ID, "silent", now.Sub(heard[remove.ID]).Round(time.Second))
			}
		}
	}
}

// judge returns which member is to vote, and which to go, if any. One at a time: each
// change is judged by the answers after it. Those that answered are in applied.
func judge(members []raftnode.Member, applied map[string]uint64, heard map[string]time.Time, committed uint64, deadAfter time.Duration, now time.Time) (promote, remove *raftnode.Member) {
	voters, answering := 0, 0
	for _, m := range members {
		if m.Voter {
			voters++
			if _, ok := applied[m.ID]; ok {
				answering++
			}
		}
	}
	for i, m := range members {
		index, answers := applied[m.ID]
		switch {
		case answers && !m.Voter && index >= committed && promote == nil:
			promote = &members[i]
		case !answers && now.Sub(heard[m.ID]) >= deadAfter && remove == nil &&
			answering > voters/2 && (!m.Voter || voters > keptVoters):
			remove = &members[i]
		}
	}
	return promote, remove
}
