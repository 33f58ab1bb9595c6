package credential_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/thalweg/thalweg/pipeline/credential"
)

func TestWhatLooksLikeACredentialIsFoundWhereItIs(t *testing.T) {
	for text, want := range map[string]string{
		"path: s3://AKIDEXAMPLE:abc+d=@minio/lake":            "s3://",
		"see https://ada@registry.example/x":                  "https://",
		"a: kafka+ssl://u:p@bus:9093":                         "kafka+ssl://",
		"k: |\n  -----BEGIN RSA PRIVATE KEY-----\n  MII":      "-----BEGIN",
		"fill: AKIAIOSFODNN7EXAMPLE":                          "AKIA",
		"fill: ASIAIOSFODNN7EXAMPLE.":                         "ASIA",
		"u: http://b/k?X-Amz-Date=1&X-Amz-Signature=fe5f80f7": "X-Amz-Signature",
		"note: twt_" + strings.Repeat("a", 43):                "twt_",
	} {
		found := credential.Find(text)
		if len(found) != 1 || !strings.HasPrefix(text[found[0].Offset:], want) {
			t.Errorf("%s: %v, want one at %s", text, found, want)
		}
	}
	for _, text := range []string{
		"path: s3://lake/a@b:c", "pattern: https?://[^/@]+@", "pattern: '://.*@'", "^https?://.+@", `pattern: '://\w+:\w+@'`, "mail: ada@example.org", "s3://lake/x: y@z", "AKIA", "a: twt_short",
		"-----BEGIN CERTIFICATE-----", "://", "x://", "MAKIAIOSFODNN7EXAMPLE", "",
	} {
		if found := credential.Find(text); len(found) > 0 {
			t.Errorf("%s: %v", text, found)
		}
	}
}

func TestFieldsForCredentialsAndAddresses(t *testing.T) {
	for _, name := range []string{"access_key", "secretKey", "password", "passwd", "sasl", "SASL_MECHANISM", "bootstrap_servers", "brokers", "endpoint", "endpoint_url", "url", "api_key", "tls", "host", "username"} {
		if !credential.IsField(name) {
			t.Errorf("%s is no such field", name)
		}
	}
	for _, name := range []string{"path", "topic", "expresion", "trianer", "author", "level", "tokenizer", "hostile", "curl", strings.Repeat("password", 100)} {
		if credential.IsField(name) {
			t.Errorf("%s is such a field", name)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, seed := range []string{"s3://a:b@c", "://@", "http://ada@x AKIAIOSFODNN7EXAMPLE twt_aaaaaaaaaaaaaaaaaaaaaa", "é://ü:ö@"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found := credential.Find(text)
		if !slices.IsSortedFunc(found, func(a, b credential.Finding) int { return a.Offset - b.Offset }) {
			t.Errorf("%v is not in the order of the text", found)
		}
		for _, f := range found {
			if f.Offset < 0 || f.Offset >= len(text) {
				t.Errorf("%d is not in a text of %d bytes", f.Offset, len(text))
			}
		}
	})
}
