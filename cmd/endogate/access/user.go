package access

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/text/unicode/norm"
)

// User is somebody who signs in here with a password.
type User struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Created time.Time `json:"created"`
	// Password is the Argon2id of one; empty: none is set yet, and nobody can sign in.
	Password string `json:"password,omitempty"`
	// Setup is the digest of a set-up link's secret, with which a password can be set once, until SetupUntil.
	Setup      string    `json:"setup,omitempty"`
	SetupUntil time.Time `json:"setup_until,omitzero"`
	// Disabled: nobody can sign in by this name until it is enabled again.
	Disabled bool `json:"disabled,omitempty"`
	// Changed is when password, role or that last were: a session from before has ended.
	Changed time.Time `json:"changed"`
}

// What a hash costs: the second choice of the OWASP password storage sheet, 19 MiB and two passes. No more than so many are
// computed at once, so that nobody can fill the memory by signing in.
const hashesAtOnce = 2

var hashing = &argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

var goodName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

// AddUser adds a user who has no password yet.
func (s *Store) AddUser(name string, role Role) error {
	switch {
	case !goodName.MatchString(name):
		return ErrName
	case !role.Valid():
		return ErrRole
	}
	return s.change(func() error {
		path := s.path(usersFolder, name)
		if _, err := read[User](path); !errors.Is(err, ErrUnknown) {
			return errors.Join(err, ErrExists)
		}
		now := s.now().UTC()
		return write(path, User{Name: name, Role: role, Created: now, Changed: now})
	})
}

// SetRole gives a user another role. Sessions of the user end.
func (s *Store) SetRole(name string, role Role) error {
	if !role.Valid() {
		return ErrRole
	}
	return s.changeUser(name, func(u *User) error {
		u.Role = role
		return nil
	})
}

// SetDisabled keeps a user from signing in, or no longer. Sessions of the user end.
func (s *Store) SetDisabled(name string, disabled bool) error {
	return s.changeUser(name, func(u *User) error {
		u.Disabled = disabled
		return nil
	})
}

// RemoveUser removes a user. Sessions of the user end.
func (s *Store) RemoveUser(name string) error {
	return s.change(func() error { return remove(s.path(usersFolder, name)) })
}

// User returns a user, or ErrUnknown.
func (s *Store) User(name string) (User, error) { return read[User](s.path(usersFolder, name)) }

// Users returns all of them, by name.
func (s *Store) Users() ([]User, error) {
	all, err := list[User](filepath.Join(s.dir, usersFolder))
	slices.SortFunc(all, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// SetPassword sets a user's password, and ends a set-up link. Sessions of the user end.
func (s *Store) SetPassword(ctx context.Context, name, password string) error {
	hash, err := s.hash(ctx, name, password)
	if err != nil {
		return err
	}
	return s.changeUser(name, func(u *User) error {
		u.Password, u.Setup, u.SetupUntil = hash, "", time.Time{}
		return nil
	})
}

// SetupSecret makes the secret of a link with which the user sets a password, once, and until then. One made before is void.
func (s *Store) SetupSecret(name string, valid time.Duration) (string, error) {
	text, kept := secret()
	err := s.change(func() error {
		path := s.path(usersFolder, name)
		u, err := read[User](path)
		if err != nil {
			return err
		}
		u.Setup, u.SetupUntil = kept, s.now().UTC().Add(valid)
		return write(path, u)
	})
	return base64.RawURLEncoding.EncodeToString([]byte(name)) + "." + text, err
}

// SetUp sets the password of the user whom the secret is for, and returns the name; ErrRefused: the secret is not, or no
// longer, one.
func (s *Store) SetUp(ctx context.Context, setup, password string) (string, error) {
	encoded, text, _ := strings.Cut(setup, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	name := string(decoded)
	if err != nil || !goodName.MatchString(name) {
		return "", ErrRefused
	}
	open := func(u User) bool { return !u.Disabled && is(text, u.Setup) && s.now().Before(u.SetupUntil) }
	u, err := s.User(name)
	switch {
	case errors.Is(err, ErrUnknown) || err == nil && !open(u):
		return "", ErrRefused
	case err != nil:
		return "", err
	}
	hash, err := s.hash(ctx, name, password)
	if err != nil {
		return "", err
	}
	return name, s.changeUser(name, func(u *User) error {
		if !open(*u) {
			return ErrRefused // somebody else was faster
		}
		u.Password, u.Setup, u.SetupUntil = hash, "", time.Time{}
		return nil
	})
}

// Verify returns the user with this name and password, or ErrRefused, after the same time whether there is such a user or not.
func (s *Store) Verify(ctx context.Context, name, password string) (User, error) {
	u, err := s.User(name)
	known := err == nil && u.Password != "" && !u.Disabled
	if err != nil && !errors.Is(err, ErrUnknown) {
		return User{}, err
	}
	if !known {
		u.Password = nobodys
	}
	if utf8.RuneCountInString(password) > maxPassword {
		return User{}, ErrRefused
	}
	if err := s.place(ctx); err != nil {
		return User{}, err
	}
	defer func() { <-s.hashing }()
	match, err := argon2id.ComparePasswordAndHash(norm.NFKC.String(password), u.Password)
	switch {
	case err != nil:
		return User{}, fmt.Errorf("access: the password kept of a user cannot be read (%w); set it anew", err)
	case !match || !known:
		return User{}, ErrRefused
	}
	return u, nil
}

// nobodys is what a name that nobody has is held against.
const nobodys = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// Bounds of a password (NIST SP 800-63B 3.1.1: length counts, not the kinds of characters).
const (
	minPassword = 12
	maxPassword = 256
)

// CheckPassword says whether a user of this name may have the password: ErrPassword where not.
func CheckPassword(name, password string) error {
	password = norm.NFKC.String(password)
	n := utf8.RuneCountInString(password)
	if n < minPassword || n > maxPassword || strings.Contains(strings.ToLower(password), name) {
		return ErrPassword
	}
	return nil
}

func (s *Store) hash(ctx context.Context, name, password string) (string, error) {
	if err := CheckPassword(name, password); err != nil {
		return "", err
	}
	password = norm.NFKC.String(password)
	if err := s.place(ctx); err != nil {
		return "", err
	}
	defer func() { <-s.hashing }()
	hash, err := argon2id.CreateHash(password, hashing)
	if err != nil {
		return "", fmt.Errorf("access: %w", err)
	}
	return hash, nil
}

// place waits for a place to compute a hash.
func (s *Store) place(ctx context.Context) error {
	select {
	case s.hashing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("access: too many sign in at once: %w", context.Cause(ctx))
	}
}

func (s *Store) changeUser(name string, do func(*User) error) error {
	return s.change(func() error {
		path := s.path(usersFolder, name)
		u, err := read[User](path)
		if err != nil {
			return err
		}
		if err := do(&u); err != nil {
			return err
		}
		u.Changed = s.now().UTC()
		return write(path, u)
	})
}
