package devbroker

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// autoCreate makes topics on first use. kfake has an option for this, but the
// topics it makes are not written to the data directory before the next orderly
// shutdown: a killed broker forgets them, records and all. Topics made by
// CreateTopic are written at once.
type autoCreate struct {
	cluster *kfake.Cluster
	mu      struct {
		sync.Mutex
		known map[string]bool // topics that need not be made
	}
}

func (a *autoCreate) install(cluster *kfake.Cluster) {
	a.cluster = cluster
	a.mu.known = make(map[string]bool)
	cluster.ControlKey(kmsg.Metadata.Int16(), a.onMetadata)
	cluster.ControlKey(kmsg.DeleteTopics.Int16(), a.onDelete)
}

// onMetadata makes the topics that a client names and allows to be made, then
// lets the request go its way.
func (a *autoCreate) onMetadata(kreq kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake's signature
	req := kreq.(*kmsg.MetadataRequest)
	if !req.AllowAutoTopicCreation {
		return nil, nil, false
	}
	if missing := a.missing(req.Topics); len(missing) > 0 {
		a.cluster.SleepControl(func() { // the broker goes on meanwhile
			for _, topic := range missing {
				// An error is "exists already" or "bad name", which the request's
				// own answer will tell.
				_ = a.cluster.CreateTopic(topic, 0, nil)
			}
		})
	}
	return nil, nil, false
}

// missing returns the topics not seen before, and takes them as seen.
func (a *autoCreate) missing(topics []kmsg.MetadataRequestTopic) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var missing []string
	for _, t := range topics {
		if t.Topic != nil && isTopicName(*t.Topic) && !a.mu.known[*t.Topic] {
			a.mu.known[*t.Topic] = true
			missing = append(missing, *t.Topic)
		}
	}
	return missing
}

// onDelete forgets what is known: a topic may be used again after its
// deletion.
func (a *autoCreate) onDelete(kmsg.Request) (kmsg.Response, error, bool) { //nolint:revive // kfake's signature
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.mu.known)
	return nil, nil, false
}
