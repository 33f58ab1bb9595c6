package connections

import (
	"path/filepath"
	"testing"
)

// The same secret is the same key, wherever it is from and however its line ends.
func TestASecretOfTheEnvironmentIsThatOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, "the secret of the test\r\n")
	t.Setenv("PII_SECRET", "the secret of the test\n")
	r := new(secrets)
	if a, b := r.secret("secret", "PII_SECRET", ""), r.secret("secret", "", file); r.err != nil || a != b {
		t.Errorf("%v: %q, %q", r.err, a, b)
	}
}
