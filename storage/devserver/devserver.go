// Package devserver is the embedded S3 endpoint of thalweg dev: versitygw's
// gateway over a directory, so that foreign tools (boto3, aws, DuckDB) read
// and write what the cluster does. It is for one machine and for development:
//
//   - Objects are not synced to disk: they survive the end of the process, not
//     a loss of power.
//   - Its metadata are user extended attributes. Where the file system has
//     none, New refuses with Unsupported and storage/file is to be used
//     instead: the gateway's fallback of side-car files loses updates.
//   - The gateway works relative to the process's working directory. Run
//     changes it to the served directory and changes it back when it returns;
//     until then every other part of the process needs absolute paths.
//   - One server runs per process at a time.
//   - Keys are paths in the directory: `a` and `a/b` cannot both be objects, and a
//     key that ends in a slash (a marker, as Hadoop's s3a makes them) holds no
//     bytes. Otherwise it does as Amazon's S3 does (tree.go).
package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"golang.org/x/sys/unix"

	"github.com/thalweg/thalweg"
)

const (
	maxConnections = 1024    // clients are a handful of workers with pools and a person with a tool
	maxRequests    = 512     // at once; beyond them the gateway answers SlowDown
	maxParts       = 10_000  // of a multipart upload, as in S3
	maxCopyBytes   = 5 << 30 // source of a copy, as in S3
	portTries      = 8       // free ports tried where the operating system chooses
	region         = "us-east-1"
	stopAgain      = 100 * time.Millisecond // after which a gateway that goes on is shut down again
)

// Config says what is served where.
type Config struct {
	// Dir holds one directory per bucket; made if absent.
	Dir string
	// Address is the host:port to listen on. Without a host it is the loopback
	// address; port 0 lets the operating system choose. Default 127.0.0.1:0.
	Address string
	// AccessKey and SecretKey are the one account. Default thalweg and
	// thalweg-dev, which is fit for the loopback address only.
	AccessKey, SecretKey string
}

func (c Config) withDefaults() Config {
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	if c.AccessKey == "" && c.SecretKey == "" {
		c.AccessKey, c.SecretKey = "thalweg", "thalweg-dev"
	}
	return c
}

// Validate reports the first field that is wrong.
func (c Config) Validate() error {
	invalid := func(field string, err error) error {
		return &thalweg.Error{Op: "check dev server", Kind: thalweg.Invalid, Subject: field, Err: err}
	}
	if c.Dir == "" {
		return invalid("dir", errors.New("must be set"))
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		return invalid("access_key, secret_key", errors.New("set both or neither"))
	}
	if _, _, err := net.SplitHostPort(c.withDefaults().Address); err != nil {
		return invalid("address", err)
	}
	return nil
}

// String describes the configuration without its secret.
func (c Config) String() string {
	return fmt.Sprintf("%s at %s as %s", c.Dir, c.Address, c.AccessKey)
}

// LogValue implements slog.LogValuer without the secret.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Server is the endpoint.
type Server struct {
	config     Config
	chosenPort bool // by the operating system, so another is as good
	ready      chan struct{}
	mu         struct {
		sync.Mutex
		address  string       // where clients connect to
		reserved net.Listener // keeps the port until the gateway takes it
	}
}

// New checks the directory, takes the port and returns the server, not yet
// running. Errors: Invalid for the configuration, Unsupported where the
// directory's file system has no user extended attributes, Exists where the
// port is taken.
func New(config Config) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	dir, err := filepath.Abs(config.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, &thalweg.Error{Op: "start dev server", Subject: config.Dir, Err: err}
	}
	config.Dir = dir
	if err := probeAttributes(dir, unix.Fsetxattr); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(config.Address)
	if err != nil {
		return nil, err // Validate saw it
	}
	if host == "" {
		host = "127.0.0.1"
	}
	config.Address = net.JoinHostPort(host, port)
	s := &Server{config: config, chosenPort: port == "0", ready: make(chan struct{})}
	if err := s.reserve(); err != nil {
		return nil, err
	}
	return s, nil
}

// Run serves until ctx ends, when it returns nil after the requests under way
// are answered, or until the gateway fails. It may be called once.
func (s *Server) Run(ctx context.Context) (err error) {
	workDir, err := os.Getwd()
	if err != nil {
		return s.failure(err)
	}
	defer func() {
		if back := os.Chdir(workDir); back != nil && err == nil {
			err = s.failure(back)
		}
	}()
	for try := 1; ; try++ {
		err := s.serve(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !s.chosenPort || !errors.Is(err, syscall.EADDRINUSE) || s.isReady() || try == portTries {
			return s.failure(err)
		}
		if err := s.reserve(); err != nil { // another process took the port meanwhile
			return err
		}
	}
}

// serve gives the reserved port to the gateway and runs it.
func (s *Server) serve(ctx context.Context) error {
	opts := posix.PosixOpts{CopyObjectThreshold: maxCopyBytes}
	opts.SetNewDirPerm(0o700)
	opts.SetNewFilePerm(0o600) // whatever the umask says
	backend, err := posix.New(s.config.Dir, meta.XattrMeta{}, opts)
	if err != nil {
		return err
	}
	s.mu.Lock()
	address := s.mu.address
	if s.mu.reserved != nil {
		s.mu.reserved.Close()
		s.mu.reserved = nil
	}
	s.mu.Unlock()
	account := auth.NewIAMServiceSingle(auth.Account{Access: s.config.AccessKey, Secret: s.config.SecretKey, Role: auth.RoleAdmin})
	// The gateway is put together here: its own assembly (embedgw) would link every
	// service for accounts, events and metrics that it can be configured with.
	utils.SetBucketNameValidationStrict(true)
	gateway, err := s3api.New(&tree{Posix: backend, dir: s.config.Dir}, middlewares.RootUserConfig{Access: s.config.AccessKey, Secret: s.config.SecretKey}, region, account,
		nil, nil, nil, nil, // no access logs, events and metrics
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests), s3api.WithMpMaxParts(maxParts), s3api.WithKeepAlive(), s3api.WithQuiet(),
		s3api.WithOnListen(func() { close(s.ready) }))
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- gateway.ServeMultiPort([]string{address}) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = stop(gateway.ShutDown, served)
	}
	backend.Shutdown()
	return errors.Join(err, account.Shutdown())
}

// stop ends a gateway after it has answered the requests under way. One that has not
// begun to serve does not notice that it is shut down, and would serve for ever: it is
// told again until it ends.
func stop(shutDown func() error, served <-chan error) error {
	for {
		err := shutDown()
		select {
		case ended := <-served:
			return errors.Join(err, ended)
		case <-time.After(stopAgain):
		}
	}
}

// Close gives the port back if Run was never called.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.reserved == nil {
		return nil
	}
	err := s.mu.reserved.Close()
	s.mu.reserved = nil
	return err
}

// Ready is closed when the server takes requests.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Endpoint returns the host:port for clients, by plain HTTP. It is final once
// Ready is closed.
func (s *Server) Endpoint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.address
}

// AccessKey returns the account's name.
func (s *Server) AccessKey() string { return s.config.AccessKey }

// SecretKey returns the account's secret.
func (s *Server) SecretKey() string { return s.config.SecretKey }

func (s *Server) isReady() bool {
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// reserve takes the port so that nobody else does before the gateway serves.
func (s *Server) reserve() error {
	l, err := net.Listen("tcp", s.config.Address)
	if err != nil {
		return s.failure(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.reserved, s.mu.address = l, l.Addr().String()
	return nil
}

func (s *Server) failure(err error) error {
	e := &thalweg.Error{Op: "run dev server", Subject: s.config.Address, Err: err}
	if errors.Is(err, syscall.EADDRINUSE) {
		e.Kind, e.Hint = thalweg.Exists, "another process listens there: stop it or take other ports (`thalweg dev --free-ports`)"
	}
	return e
}

// probeAttributes sets a user extended attribute on a file in dir and reads it
// back.
func probeAttributes(dir string, set func(fd int, name string, value []byte, flags int) error) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return &thalweg.Error{Op: "start dev server", Subject: dir, Err: err, Hint: "the directory must be writable for this user"}
	}
	defer os.Remove(f.Name())
	defer f.Close()
	const name, value = "user.thalweg.probe", "1"
	var got [len(value)]byte
	err = set(int(f.Fd()), name, []byte(value), 0)
	if err == nil {
		_, err = unix.Fgetxattr(int(f.Fd()), name, got[:])
	}
	if err == nil && string(got[:]) != value {
		err = errors.New("an attribute does not come back as it was set")
	}
	if err != nil {
		return &thalweg.Error{Op: "start dev server", Kind: thalweg.Unsupported, Subject: dir,
			Err:  fmt.Errorf("the file system has no user extended attributes: %w", err),
			Hint: "use the directory store instead, or a directory on ext4, xfs or btrfs"}
	}
	return nil
}
