package admin

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// JWT says which tokens of an issuer prove who a node is (RFC 7519, as RFC 8725 has them checked): its signature by a key of the
// issuer with a listed algorithm, issuer, audience and expiry. It may be used from any goroutine.
type JWT struct {
	Issuer     string
	Audience   string
	Algorithms []string
	KeysFile   string   // a JSON Web Key Set, read at each token; else
	KeysURL    string   // where there is one; else the issuer says where
	Claim      string   // that names the node
	Names      []string // that may come; none: all
	Client     *http.Client
	Now        func() time.Time

	mu     sync.Mutex
	remote oidc.KeySet
}

// ErrKeys says that the issuer's keys cannot be had now: nothing is known of the token.
var ErrKeys = errors.New("the keys of the issuer cannot be had")

// Verify returns whom the token is of. The error says what is wrong with it and holds nothing of it; it is an ErrKeys where
// that could not be found out.
func (j *JWT) Verify(ctx context.Context, token string) (string, error) {
	keys, err := j.keys(ctx)
	if err != nil {
		return "", errors.Join(ErrKeys, err)
	}
	tried := &triedKeys{KeySet: keys}
	id, err := oidc.NewVerifier(j.Issuer, tried, &oidc.Config{ClientID: j.Audience, SupportedSigningAlgs: j.Algorithms, Now: j.Now}).Verify(ctx, token)
	var expired *oidc.TokenExpiredError
	switch {
	case tried.missing != nil:
		return "", errors.Join(ErrKeys, tried.missing)
	case errors.As(err, &expired):
		return "", errors.New("the token has expired, or says no end")
	case err != nil:
		return "", errors.New("the token is not one of the issuer for this gateway, with a signature that is taken")
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return "", errors.New("the token's claims cannot be read")
	}
	name, _ := claims[j.Claim].(string)
	switch {
	case name == "" || len(name) > maxAuthor:
		return "", errors.New("the token does not name anybody")
	case len(j.Names) > 0 && !slices.Contains(j.Names, name):
		return "", errors.New("the token is of somebody who is not listed")
	}
	return name, nil
}

// triedKeys notes that keys could not be fetched, which the verifier does not tell from a wrong signature.
type triedKeys struct {
	oidc.KeySet
	missing error
}

// VerifySignature is that of the key set.
func (k *triedKeys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, token)
	if err != nil && strings.HasPrefix(err.Error(), "fetching keys") {
		k.missing = fmt.Errorf("%.200s", err) // with what the issuer has answered
	}
	return payload, err
}

func (j *JWT) keys(ctx context.Context) (oidc.KeySet, error) {
	if j.KeysFile != "" {
		return keysIn(j.KeysFile)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.remote != nil {
		return j.remote, nil
	}
	at := j.KeysURL
	ctx = oidc.ClientContext(ctx, confined(j.Client))
	if at == "" {
		found, err := oidc.NewProvider(ctx, j.Issuer)
		if err != nil {
			return nil, err
		}
		var says struct {
			Keys string `json:"jwks_uri"`
		}
		if err := found.Claims(&says); err != nil || says.Keys == "" {
			return nil, errors.New("the issuer does not say where its keys are")
		}
		if u, err := url.Parse(says.Keys); err != nil || u.Scheme != "https" && strings.HasPrefix(j.Issuer, "https:") {
			return nil, errors.New("the issuer says that its keys are where anybody on the way could exchange them")
		}
		at = says.Keys
	}
	j.remote = oidc.NewRemoteKeySet(ctx, at)
	return j.remote, nil
}

// Check reads the file of keys, where one is named.
func (j *JWT) Check() error {
	if j.KeysFile == "" {
		return nil
	}
	_, err := keysIn(j.KeysFile)
	return err
}

// keysIn reads the public keys of a JSON Web Key Set (RFC 7517).
func keysIn(path string) (oidc.KeySet, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("%s: no JSON Web Key Set: %w", path, err)
	}
	var keys []crypto.PublicKey
	for _, k := range set.Keys {
		if k.IsPublic() && k.Use != "enc" {
			keys = append(keys, k.Key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no public key in it", path)
	}
	return &oidc.StaticKeySet{PublicKeys: keys}, nil
}
