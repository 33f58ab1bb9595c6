package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/thalweg/thalweg"
)

// lookEvery bounds how often the files are looked at: at each handshake, but not
// more often than this.
const lookEvery = time.Second

// Credentials are a directory's certificate, key and authorities: who this process
// is, and whom it believes. They follow the files: what a handshake finds changed,
// it reads. They may be used concurrently.
type Credentials struct {
	dir      string
	log      *slog.Logger
	now      func() time.Time // tests have their own
	refusals refusals
	mu       struct {
		sync.Mutex
		files
		looked time.Time
		seen   string // sizes and times of the files that were read
		warned string // of those that could not be
	}
}

// files are what a directory holds.
type files struct {
	cert *tls.Certificate // nil if there is none: a user may have a token instead
	id   Identity
	cas  *x509.CertPool
}

// Open reads the certificate of a node of a kind, its key and the authorities. What
// could not work is refused: a certificate that has expired, is of another kind or
// of none of the authorities.
func Open(log *slog.Logger, dir, kind string) (*Credentials, error) {
	c, err := open(log, dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, CertFile)
	if c.mu.cert == nil {
		return nil, &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path, Hint: initHint, Err: fs.ErrNotExist}
	}
	if c.mu.id.Kind != kind {
		return nil, &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path,
			Hint: "`thalweg init node` makes one for a " + kind, Err: fmt.Errorf("it names the %s %s", c.mu.id.Kind, c.mu.id.ID)}
	}
	return c, c.mu.check(path, c.now())
}

// OpenUser reads the authorities, and the certificate where the directory has one.
func OpenUser(log *slog.Logger, dir string) (*Credentials, error) {
	c, err := open(log, dir)
	if err != nil || c.mu.cert == nil {
		return c, err
	}
	return c, c.mu.check(filepath.Join(dir, CertFile), c.now())
}

const initHint = "`thalweg init` makes the certificates of a cluster; give the directory of this node"

func open(log *slog.Logger, dir string) (*Credentials, error) {
	c := &Credentials{dir: dir, log: log, now: time.Now}
	var err error
	c.mu.seen = c.stamp()
	c.mu.files, err = c.read()
	c.mu.looked = c.now()
	return c, err
}

// Identity returns who this process is; the zero Identity without a certificate.
func (c *Credentials) Identity() Identity { return c.current().id }

// ExpiresIn returns for how much longer the certificate holds; without one for ever.
func (c *Credentials) ExpiresIn() time.Duration {
	f := c.current()
	if f.cert == nil {
		return 1<<63 - 1
	}
	return f.cert.Leaf.NotAfter.Sub(c.now())
}

// current returns what the files hold. Files that are wrong, as between the
// replacement of the one and of the other, change nothing.
func (c *Credentials) current() files {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.mu.looked) >= lookEvery || now.Before(c.mu.looked) {
		c.mu.looked = now
		c.lookLocked(now)
	}
	return c.mu.files
}

func (c *Credentials) lookLocked(now time.Time) {
	seen := c.stamp()
	if seen == c.mu.seen {
		return
	}
	f, err := c.read()
	if err == nil && c.mu.cert != nil {
		switch {
		case f.cert == nil:
			err = &thalweg.Error{Op: "read certificate", Subject: filepath.Join(c.dir, CertFile), Err: fs.ErrNotExist}
		case f.id != c.mu.id:
			err = &thalweg.Error{Op: "read certificate", Subject: filepath.Join(c.dir, CertFile),
				Err: fmt.Errorf("it names %s, and this process is %s", f.id, c.mu.id)}
		default:
			err = f.check(filepath.Join(c.dir, CertFile), now)
		}
	}
	if err != nil {
		if seen != c.mu.warned {
			c.log.Warn("new certificates were not taken; those from before go on", "error", err)
			c.mu.warned = seen
		}
		return
	}
	c.mu.files, c.mu.seen = f, seen
	if f.cert != nil {
		c.log.Info("certificates were read again", "identity", f.id.String(), "expires", f.cert.Leaf.NotAfter)
	}
}

// stamp tells whether the files have changed.
func (c *Credentials) stamp() string {
	var b bytes.Buffer
	for _, name := range []string{CertFile, KeyFile, CAFile} {
		if info, err := os.Stat(filepath.Join(c.dir, name)); err == nil {
			fmt.Fprintln(&b, name, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

func (c *Credentials) read() (files, error) {
	var f files
	authorities, _, err := readCerts(filepath.Join(c.dir, CAFile))
	if err != nil {
		return f, err
	}
	f.cas = x509.NewCertPool()
	for _, a := range authorities {
		f.cas.AddCert(a)
	}
	path := filepath.Join(c.dir, CertFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	pair, err := tls.LoadX509KeyPair(path, filepath.Join(c.dir, KeyFile))
	if err != nil {
		return f, &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path, Hint: initHint, Err: err}
	}
	if f.id, err = IdentityOf(pair.Leaf); err != nil {
		return f, &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path, Err: err}
	}
	f.cert = &pair
	return f, nil
}

// check reports why others would not believe the certificate in the file.
func (f files) check(path string, now time.Time) error {
	chain := make([]*x509.Certificate, 0, len(f.cert.Certificate))
	for _, der := range f.cert.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path, Err: err}
		}
		chain = append(chain, parsed)
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	if f.id.Kind == User {
		usages = usages[:1]
	}
	for _, usage := range usages {
		if err := f.believes(chain, usage, now); err != nil {
			return &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path, Hint: renewHint, Err: err}
		}
	}
	return nil
}

const renewHint = "`thalweg init node --renew` makes another by the same authority; " + CAFile + " must hold the authority that signed it"

// believes reports why a chain is not to be believed.
func (f files) believes(chain []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: f.cas, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired && invalid.Cert != nil {
		if now.Before(invalid.Cert.NotBefore) {
			return fmt.Errorf("%q holds from %s, and it is %s here: is the clock right?", invalid.Cert.Subject, invalid.Cert.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
		}
		return expired(invalid.Cert)
	}
	if err != nil {
		return fmt.Errorf("%q, signed by %q: %w", leaf.Subject, leaf.Issuer, err)
	}
	return nil
}

func expired(cert *x509.Certificate) error {
	return fmt.Errorf("%q has expired on %s", cert.Subject, cert.NotAfter.UTC().Format(time.RFC3339))
}

// readCerts reads the certificates of a file, at least one.
func readCerts(path string) (certs []*x509.Certificate, data []byte, err error) {
	refuse := func(err error) ([]*x509.Certificate, []byte, error) {
		return nil, nil, &thalweg.Error{Op: "read certificate", Kind: thalweg.Invalid, Subject: path, Hint: initHint, Err: err}
	}
	if data, err = os.ReadFile(path); err != nil {
		return refuse(err)
	}
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return refuse(fmt.Errorf("it holds a %s", block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return refuse(err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return refuse(errors.New("it holds no certificate in PEM"))
	}
	return certs, data, nil
}
