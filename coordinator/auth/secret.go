package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	// secretPrefix is how the secret of each token begins, for scanners that look for
	// secrets.
	secretPrefix = "twt_"
	secretBytes  = 32
	// maxCredentialBytes bounds what a request shows of itself; tokens of OpenID Connect
	// with many groups have some kilobytes.
	maxCredentialBytes = 16 << 10
)

// NewSecret returns the secret of a new token: 256 random bits behind a prefix.
func NewSecret() string {
	var random [secretBytes]byte
	_, _ = rand.Read(random[:]) // it never fails
	return secretPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// Hash returns what the cluster keeps of a secret: with 256 random bits in it, a plain
// sha256 can be guessed no better than the secret.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// CheckCredential refuses what no server would take for a token, so that a file that
// was confused with another is not sent anywhere. The error does not show it.
func CheckCredential(credential string) error {
	var flaw string
	switch {
	case credential == "":
		flaw = "it is empty"
	case len(credential) > maxCredentialBytes:
		flaw = fmt.Sprintf("it has %d bytes, at most %d", len(credential), maxCredentialBytes)
	case strings.ContainsFunc(credential, func(r rune) bool { return r <= ' ' || r > '~' }):
		flaw = "it has blanks, lines or characters that tokens have not"
	case isSecret(credential), strings.Count(credential, ".") == 2: // or a token of OpenID Connect
		return nil
	default:
		flaw = "it does not begin with " + secretPrefix
	}
	return errors.New("it is no token: " + flaw)
}

func isSecret(credential string) bool { return strings.HasPrefix(credential, secretPrefix) }
