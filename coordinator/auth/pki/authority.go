package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/thalweg/thalweg"
)

// The files of a node, with the names that a TLS secret of Kubernetes has, and of
// the authority.
const (
	CertFile  = "tls.crt"
	KeyFile   = "tls.key"
	CAFile    = "ca.crt"
	CAKeyFile = "ca.key"
)

// How long certificates hold: an authority for ten years, a node for one, after
// which somebody who has stolen its key is out.
const (
	AuthorityValid = 10 * 365 * 24 * time.Hour
	NodeValid      = 365 * 24 * time.Hour
	// clockSkew is how far another machine's clock may be behind.
	clockSkew = 5 * time.Minute
)

// Authority signs the certificates of one cluster.
type Authority struct {
	cluster string
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
}

// Create makes an authority for a cluster in a directory that has none.
func Create(dir, cluster string, now time.Time) (*Authority, error) {
	if err := (Identity{Cluster: cluster, Kind: Coordinator, ID: "c"}).Validate(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "authority of cluster " + cluster},
		URIs:      []*url.URL{{Scheme: scheme, Host: cluster}},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(AuthorityValid),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert, err := sign(template, template, key, key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := writeNew(dir, map[string][]byte{CAFile: cert, CAKeyFile: keyPEM}); err != nil {
		return nil, err
	}
	return OpenAuthority(dir)
}

// OpenAuthority reads an authority that Create made.
func OpenAuthority(dir string) (*Authority, error) {
	refuse := func(path string, err error) (*Authority, error) {
		return nil, &thalweg.Error{Op: "open authority", Kind: thalweg.Invalid, Subject: path,
			Hint: "`thalweg init` makes an authority; other authorities sign by their own tools", Err: err}
	}
	certPath, keyPath := filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile)
	certs, certPEM, err := readCerts(certPath)
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return refuse(keyPath, err)
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return refuse(keyPath, errors.New("it is not in PEM"))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return refuse(keyPath, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	a := &Authority{cert: certs[0], key: key, certPEM: certPEM}
	if !ok || !key.PublicKey.Equal(a.cert.PublicKey) {
		return refuse(keyPath, fmt.Errorf("it is not the key of %s", certPath))
	}
	if len(a.cert.URIs) != 1 || a.cert.URIs[0].Scheme != scheme {
		return refuse(certPath, errors.New("it does not name a cluster"))
	}
	a.cluster = a.cert.URIs[0].Host
	return a, nil
}

// Cluster returns the name of the authority's cluster.
func (a *Authority) Cluster() string { return a.cluster }

// Issue makes the directory of a node or user: a key, its certificate for the
// hosts by which clients call it (names or addresses), and the authority's.
func (a *Authority) Issue(dir, kind, id string, hosts []string, now time.Time) error {
	files, err := a.issue(Identity{Cluster: a.cluster, Kind: kind, ID: id}, hosts, now)
	if err != nil {
		return err
	}
	files[CAFile] = a.certPEM
	return writeNew(dir, files)
}

// Renew replaces key and certificate in a directory that Issue made, by others for
// the same identity and hosts. Nodes that run take them by themselves.
func (a *Authority) Renew(dir string, now time.Time) (Identity, error) {
	path := filepath.Join(dir, CertFile)
	certs, _, err := readCerts(path)
	if err != nil {
		return Identity{}, err
	}
	id, err := IdentityOf(certs[0])
	if err == nil && id.Cluster != a.cluster {
		err = fmt.Errorf("it is of the cluster %s, and the authority of %s", id.Cluster, a.cluster)
	}
	if err != nil {
		return Identity{}, &thalweg.Error{Op: "renew certificate", Kind: thalweg.Invalid, Subject: path, Err: err}
	}
	hosts := certs[0].DNSNames
	for _, ip := range certs[0].IPAddresses {
		hosts = append(hosts, ip.String())
	}
	files, err := a.issue(id, hosts, now)
	if err != nil {
		return Identity{}, err
	}
	for _, name := range []string{KeyFile, CertFile} {
		if err := replace(filepath.Join(dir, name), files[name]); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

func (a *Authority) issue(id Identity, hosts []string, now time.Time) (map[string][]byte, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if now.After(a.cert.NotAfter) {
		return nil, &thalweg.Error{Op: "issue certificate", Kind: thalweg.Invalid, Subject: id.String(), Err: expired(a.cert),
			Hint: "make another authority with `thalweg init`, and append its " + CAFile + " to those of all nodes before they get certificates of it"}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: id.Kind + " " + id.ID}, URIs: []*url.URL{id.uri()},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(NodeValid),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	if id.Kind != User {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	seen := make(map[string]bool)
	for _, host := range hosts {
		switch ip := net.ParseIP(host); {
		case seen[host]:
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		default:
			template.DNSNames = append(template.DNSNames, host)
		}
		seen[host] = true
	}
	cert, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	return map[string][]byte{CertFile: cert, KeyFile: keyPEM}, err
}

// sign returns a certificate in PEM.
func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (cert []byte, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		return nil, &thalweg.Error{Op: "sign certificate", Kind: thalweg.Invalid, Subject: template.Subject.String(), Err: err}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// writeNew writes files, readable by their owner only, into a directory that must
// not exist yet: a key that is overwritten is gone for good.
func writeNew(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return &thalweg.Error{Op: "write certificates", Kind: thalweg.Exists, Subject: dir, Hint: "nothing is overwritten: move it away, or name another directory"}
		}
		return err
	}
	for name, data := range files {
		if err := replace(filepath.Join(dir, name), data); err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file so that a reader sees the old or the new one.
func replace(path string, data []byte) error {
	building := path + ".new"
	if err := os.WriteFile(building, data, 0o600); err != nil {
		return err
	}
	return os.Rename(building, path)
}
