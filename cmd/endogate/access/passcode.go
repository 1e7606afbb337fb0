package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/alexedwards/argon2id"
)

// Passcodes holds what devices send against what is kept of it. It remembers, until the process ends and by a keyed digest alone,
// what was right: a modality associates for every capture.
type Passcodes struct {
	hashing chan struct{}
	key     [32]byte

	mu    sync.Mutex
	right map[string][32]byte // by what is kept
}

// NewPasscodes returns one that remembers nothing.
func NewPasscodes() *Passcodes {
	p := &Passcodes{hashing: make(chan struct{}, hashesAtOnce), right: map[string][32]byte{}}
	_, _ = rand.Read(p.key[:]) // never fails (crypto/rand)
	return p
}

// HashPasscode returns the Argon2id of a passcode, which configurations hold.
func HashPasscode(passcode string) (string, error) {
	if passcode == "" || len(passcode) > maxPassword {
		return "", fmt.Errorf("access: a passcode has 1 to %d bytes", maxPassword)
	}
	return argon2id.CreateHash(passcode, hashing)
}

// Hashed says whether a text is what HashPasscode makes of a passcode, and no passcode.
func Hashed(kept string) bool { return strings.HasPrefix(kept, "$argon2id$") }

// Match says whether given is the passcode of which kept is the Argon2id, or which it is itself. Where nothing is kept it is
// not, after the same time.
func (p *Passcodes) Match(ctx context.Context, kept, given string) (bool, error) {
	switch {
	case len(given) > maxPassword:
		return false, nil
	case kept == "":
		kept = nobodys
	case !Hashed(kept):
		return subtle.ConstantTimeCompare([]byte(digest(kept)), []byte(digest(given))) == 1, nil
	}
	if p.Known(kept, given) {
		return true, nil
	}
	select {
	case p.hashing <- struct{}{}:
	case <-ctx.Done():
		return false, fmt.Errorf("access: too many come in at once: %w", context.Cause(ctx))
	}
	defer func() { <-p.hashing }()
	match, err := argon2id.ComparePasswordAndHash(given, kept)
	if err != nil {
		return false, fmt.Errorf("access: the hash of a passcode cannot be read: %w", err)
	}
	if match = match && kept != nobodys; match {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.right) >= mostPasscodes { // of hashes that files held before
			clear(p.right)
		}
		p.right[kept] = p.sum(given)
	}
	return match, nil
}

// Known says whether given was right before, which costs nothing to find out.
func (p *Passcodes) Known(kept, given string) bool {
	p.mu.Lock()
	known, ok := p.right[kept]
	p.mu.Unlock()
	sum := p.sum(given)
	return ok && hmac.Equal(known[:], sum[:])
}

func (p *Passcodes) sum(given string) [32]byte {
	mac := hmac.New(sha256.New, p.key[:])
	mac.Write([]byte(given))
	return [32]byte(mac.Sum(nil))
}

// CheckPasscode says what is wrong with what is kept of a passcode, where it is a hash.
func CheckPasscode(kept string) error {
	if !Hashed(kept) {
		return nil
	}
	if _, _, _, err := argon2id.DecodeHash(kept); err != nil {
		return errors.New("access: the hash of its passcode cannot be read: endogate user hash makes one")
	}
	return nil
}

const mostPasscodes = 10_000
