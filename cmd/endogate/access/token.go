package access

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Token is what a program proves itself by. What it is kept as cannot be used as one.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // what it is for, as its maker wrote
	Role    Role      `json:"role"`
	Scope   []Right   `json:"scope,omitempty"` // these of its role's rights alone; none: all
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Secret  string    `json:"secret"` // its digest
}

// tokenPrefix tells people, and programs that look for secrets in what is published, what the text is.
const tokenPrefix = "endogate_"

var goodTokenID = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// ErrScope is a scope that goes beyond the role.
var ErrScope = errors.New("access: a token's scope is some of its role's rights")

// CreateToken makes a token and returns the text that its program is to send; nobody can see it again.
func (s *Store) CreateToken(name string, role Role, scope []Right, valid time.Duration) (string, Token, error) {
	switch {
	case !goodName.MatchString(name):
		return "", Token{}, ErrName
	case !role.Valid():
		return "", Token{}, ErrRole
	case valid <= 0:
		return "", Token{}, errors.New("access: a token expires; say when, such as 24h")
	}
	for _, r := range scope {
		if !slices.Contains(role.Rights(), r) {
			return "", Token{}, ErrScope
		}
	}
	text, kept := secret()
	now := s.now().UTC()
	t := Token{ID: rand.Text(), Name: name, Role: role, Scope: scope, Created: now, Expires: now.Add(valid), Secret: kept}
	return tokenPrefix + t.ID + "_" + text, t, s.change(func() error { return write(s.path(tokensFolder, t.ID), t) })
}

// RevokeToken makes a token void, at once.
func (s *Store) RevokeToken(id string) error {
	return s.change(func() error { return remove(s.path(tokensFolder, id)) })
}

// Tokens returns all of them, also those that expired, by when they were made.
func (s *Store) Tokens() ([]Token, error) {
	all, err := list[Token](filepath.Join(s.dir, tokensFolder))
	slices.SortFunc(all, func(a, b Token) int { return a.Created.Compare(b.Created) })
	return all, err
}

// ByToken returns who sends a token, or ErrRefused.
func (s *Store) ByToken(text string) (Identity, error) {
	id, sent, _ := strings.Cut(strings.TrimPrefix(text, tokenPrefix), "_")
	if !strings.HasPrefix(text, tokenPrefix) || !goodTokenID.MatchString(id) {
		return Identity{}, ErrRefused
	}
	t, err := read[Token](s.path(tokensFolder, id))
	switch {
	case errors.Is(err, ErrUnknown):
		return Identity{}, ErrRefused
	case err != nil:
		return Identity{}, err
	case !is(sent, t.Secret) || !s.now().Before(t.Expires):
		return Identity{}, ErrRefused
	}
	return Identity{Name: t.Name, Role: t.Role, Method: ByToken, Scope: t.Scope}, nil
}
