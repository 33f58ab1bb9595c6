package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/thalweg/thalweg"
)

// The values of Encryption.Type.
const (
	SSES3  = "sse-s3"  // with keys of the store
	SSEKMS = "sse-kms" // with a key of the store's key management
)

// Encryption is what the store is asked to encrypt objects with. The zero value asks
// for nothing: what the bucket's own default says counts.
type Encryption struct {
	Type string // SSES3, SSEKMS, or empty
	// KeyID names the key of SSEKMS; empty: the store's default one.
	KeyID string
}

const sseHeader = "X-Amz-Server-Side-Encryption"

// headers returns minio-go's form, nil for none.
func (e Encryption) headers() (encrypt.ServerSide, error) {
	switch {
	case e.Type == SSEKMS:
		return encrypt.NewSSEKMS(e.KeyID, nil)
	case e.KeyID != "":
		return nil, errors.New("key_id belongs to " + SSEKMS)
	case e.Type == SSES3:
		return encrypt.NewSSE(), nil
	case e.Type != "":
		return nil, fmt.Errorf("%q is neither %s nor %s", e.Type, SSES3, SSEKMS)
	}
	return nil, nil
}

// confirmed refuses answers to a PUT by a store that does not say that it encrypted the
// object as it was asked: one that does not know the header ignores it.
type confirmed struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c confirmed) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPut || answer.StatusCode/100 != 2 || r.Header.Get(sseHeader) == "" {
		return answer, err
	}
	if err := encryptedAs(r.Header.Get(sseHeader), answer.Header); err != nil {
		answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

func encryptedAs(want string, header http.Header) error {
	if got := header.Get(sseHeader); got != want {
		return &thalweg.Error{Op: "encrypt", Kind: thalweg.Unsupported, Subject: sseHeader + ": " + want, Err: fmt.Errorf("the store answers %q: the object may lie there as it is", got),
			Hint: "use a store that encrypts, or take encryption out of the connection"}
	}
	return nil
}

// confirmParts is confirmed for an object that went in parts, of which stores need not say
// anything before it is asked for.
func (b *Bucket) confirmParts(ctx context.Context, key string, opts minio.PutObjectOptions) error {
	wanted := make(http.Header)
	opts.ServerSideEncryption.Marshal(wanted)
	object, err := b.opener.client.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
	if err != nil {
		return err
	}
	return encryptedAs(wanted.Get(sseHeader), object.Metadata)
}
