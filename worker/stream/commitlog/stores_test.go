package commitlog

import (
	"context"
	"math/rand/v2"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/thalweg/thalweg/integration/fault"
	"github.com/thalweg/thalweg/storage"
	"github.com/thalweg/thalweg/storage/devserver"
	"github.com/thalweg/thalweg/storage/file"
	"github.com/thalweg/thalweg/storage/memory"
	"github.com/thalweg/thalweg/storage/s3"
)

func TestOwnersRaceOnEveryStore(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) storage.Opener{
		"memory": func(*testing.T) storage.Opener { return memory.NewOpener() },
		"file": func(t *testing.T) storage.Opener {
			o, err := file.New(file.Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { o.Close() })
			return o
		},
		"s3": embedded,
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t)
			if err := o.CreateBucket(t.Context(), "lake"); err != nil {
				t.Fatal(err)
			}
			b, err := o.Bucket(t.Context(), "lake")
			if err != nil {
				t.Fatal(err)
			}
			plan := fault.Chaos(1, 0.02)
			t.Log(plan)
			faulty := fault.NewBucket(b, plan)
			owners := make([]*owner, 3)
			var g errgroup.Group
			for i := range owners {
				o := &owner{bucket: faulty, random: rand.New(rand.NewPCG(1, uint64(i))), claimed: map[uint64]string{}}
				owners[i] = o
				g.Go(func() error { o.work(t); return nil })
			}
			g.Wait()
			faulty.Settle(t.Context())
			if err := judge(t.Context(), b, owners); err != nil {
				t.Error(err)
			}
		})
	}
}

// embedded returns an opener of the embedded S3 endpoint.
func embedded(t *testing.T) storage.Opener {
	server, err := devserver.New(devserver.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	o, err := s3.New(s3.Config{Endpoint: server.Endpoint(), AccessKey: server.AccessKey(), SecretKey: server.SecretKey(), PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-server.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal("the server ended")
	}
	return o
}
