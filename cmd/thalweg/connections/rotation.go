package connections

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/thalweg/thalweg/cmd/thalweg/terminal"
	"github.com/thalweg/thalweg/pipeline"
)

const (
	// maxSecretBytes bounds what is read of a file with a password or a key.
	maxSecretBytes = 64 << 10
	// readAgain is how old what was read of a secret may be: a store is asked a thousand
	// times a second, and a rotation takes longer than this.
	readAgain = time.Second
	// readTries bounds how often secrets are read that change while they are.
	readTries = 5
)

// reference says where a secret is, and never what it is.
type reference struct {
	File       string `yaml:"file"`       // one of a directory that Kubernetes mounts too
	Env        string `yaml:"env"`        // an environment variable of this process
	Credential string `yaml:"credential"` // what systemd gave the service by this name: LoadCredential=, SetCredentialEncrypted=
}

// check reports a reference that names nothing, or more than one thing.
func (r reference) check() error {
	named := 0
	for _, name := range []string{r.File, r.Env, r.Credential} {
		if name != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return errors.New("write one of {file: PATH}, {env: NAME} and {credential: NAME}")
	case r.Credential != "" && (r.Credential != filepath.Base(r.Credential) || r.Credential == "." || r.Credential == ".."):
		return errors.New("a credential is a name without slashes")
	case r.Credential != "" && os.Getenv(credentialsDirectory) == "":
		return fmt.Errorf("credential %s: %s is not set: systemd sets it for services with LoadCredential=", r.Credential, credentialsDirectory)
	}
	return nil
}

// credentialsDirectory is the variable by which systemd says where credentials are.
const credentialsDirectory = "CREDENTIALS_DIRECTORY"

// read returns the secret without the end of its last line. An error names the place.
func (r reference) read() (value string, err error) {
	if r.Env != "" {
		if value = strings.TrimRight(os.Getenv(r.Env), "\r\n"); value == "" {
			return "", fmt.Errorf("the environment variable %s is not set", r.Env)
		}
		return value, nil
	}
	name := r.File
	if r.Credential != "" {
		name = filepath.Join(os.Getenv(credentialsDirectory), r.Credential)
	}
	if value, err = readSecret(name); err == nil && value == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

// readSecret returns the content of a small file without the end of its last
// line.
func readSecret(name string) (string, error) {
	data, err := terminal.ReadFile("", name, maxSecretBytes, "")
	if err == nil && (strings.HasPrefix(string(data), "\xff\xfe") || strings.HasPrefix(string(data), "\xfe\xff")) {
		return "", errors.New("it is UTF-16: save it as UTF-8")
	}
	return strings.TrimRight(string(pipeline.WithoutMark(data)), "\r\n"), err
}

// rotation is secrets that belong together, such as a key and its secret. They are
// read again when they are used, so that they can be changed in place.
type rotation struct {
	from []reference // nil ones are the empty secret
	now  func() time.Time
	mu   struct {
		sync.Mutex
		values []string
		read   time.Time
	}
}

// newRotation reads secrets for the first time, when what cannot be read is an error.
func newRotation(from ...*reference) (*rotation, error) {
	r := &rotation{now: time.Now}
	for _, f := range from {
		if f == nil {
			f = new(reference)
		} else if err := f.check(); err != nil {
			return nil, err
		}
		r.from = append(r.from, *f)
	}
	values, err := r.readAll()
	r.mu.values, r.mu.read = values, r.now()
	return r, err
}

// values returns the secrets as they are now. While one of them cannot be read, as in
// the middle of a change, they stay what they were.
func (r *rotation) values() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.mu.read) >= readAgain {
		if values, err := r.readAll(); err == nil {
			r.mu.values = values
		}
		r.mu.read = now
	}
	return r.mu.values
}

// readAll reads the secrets until two readings are the same: those of a directory that
// is replaced meanwhile do not belong together.
func (r *rotation) readAll() (values []string, err error) {
	for range readTries {
		again := make([]string, len(r.from))
		for i, f := range r.from {
			if f == (reference{}) {
				continue
			}
			if again[i], err = f.read(); err != nil {
				return nil, err
			}
		}
		if slices.Equal(values, again) {
			return values, nil
		}
		values = again
	}
	return nil, errors.New("the secrets change while they are read")
}

// String keeps secrets out of what prints a rotation.
func (r *rotation) String() string { return fmt.Sprintf("%d secrets", len(r.from)) }

// GoString is String, for %#v.
func (r *rotation) GoString() string { return r.String() }
