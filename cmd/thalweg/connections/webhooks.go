package connections

import (
	"maps"
	"slices"

	"github.com/thalweg/thalweg/coordinator/alert/webhook"
)

// webhookSection is a webhook that coordinators tell alerts. Its address says whether it talks
// TLS, the section only how.
type webhookSection struct {
	URL     string               `yaml:"url"`
	Secret  *reference           `yaml:"secret" means:"write where the secret is: {file: PATH}, {env: NAME} or {credential: NAME}"`
	Headers map[string]reference `yaml:"headers"`
	TLS     *tlsSection          `yaml:"tls"`
	Cluster bool                 `yaml:"cluster"` // it gets the alerts of the cluster too
}

func (s *webhookSection) config(subject string, loopback bool) (webhook.Config, error) {
	r := secrets{subject: subject}
	cfg := webhook.Config{URL: s.URL, Loopback: loopback, TLS: r.tls(s.TLS), Cluster: s.Cluster, Headers: r.headers(s.Headers)}
	if s.Secret != nil {
		if read := r.secrets("secret", s.Secret); read != nil {
			cfg.Secret = func() string { return read.values()[0] }
		}
	}
	if r.err != nil {
		return cfg, r.err
	}
	if err := cfg.Validate(); err != nil {
		return cfg, badConnection(subject, err)
	}
	return cfg, nil
}

// headers returns what reads headers whose values are secrets; nil: there are none.
func (r *secrets) headers(from map[string]reference) func() map[string]string {
	names := slices.Sorted(maps.Keys(from))
	var references []*reference
	for _, name := range names {
		of := from[name]
		references = append(references, &of)
	}
	read := r.secrets("headers", references...)
	if read == nil || len(names) == 0 {
		return nil
	}
	return func() map[string]string {
		headers := make(map[string]string, len(names))
		for i, value := range read.values() {
			headers[names[i]] = value
		}
		return headers
	}
}

// Webhooks returns those that coordinators tell alerts, by name.
func (c *Set) Webhooks() map[string]webhook.Config { return c.webhooks }
