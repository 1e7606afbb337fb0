package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func signed(t *testing.T, algorithm jose.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
	require.NoError(t, err)
	text, err := json.Marshal(claims)
	require.NoError(t, err)
	token, err := signer.Sign(text)
	require.NoError(t, err)
	compact, err := token.CompactSerialize()
	require.NoError(t, err)
	return compact
}

func TestJWT(t *testing.T) {
	f := newForger(t)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{"iss": f.URL, "aud": "endogate", "sub": "scope1", "exp": time.Now().Add(time.Minute).Unix()}
		for k, v := range change {
			if all[k] = v; v == nil {
				delete(all, k)
			}
		}
		return all
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &f.key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, set, 0o600))
	good := signed(t, jose.RS256, f.key, claims(nil))
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + body + "."
	for name, j := range map[string]*JWT{
		"discovered": {Issuer: f.URL, Client: f.Client()},
		"keys_url":   {Issuer: f.URL, KeysURL: f.URL + "/keys", Client: f.Client()},
		"keys_file":  {Issuer: f.URL, KeysFile: file},
	} {
		j.Audience, j.Algorithms, j.Claim, j.Names, j.Now = "endogate", []string{"RS256", "ES256"}, "sub", []string{"scope1"}, time.Now
		t.Run(name, func(t *testing.T) {
			who, err := j.Verify(t.Context(), good)
			require.NoError(t, err)
			assert.Equal(t, "scope1", who)
			for what, token := range map[string]string{
				"nothing":                         "",
				"rubbish":                         "a.b.c",
				"unsigned":                        unsigned,
				"another's key":                   signed(t, jose.ES256, other, claims(nil)),
				"a shared key of the public one":  signed(t, jose.HS256, f.key.N.Bytes(), claims(nil)),
				"an algorithm that is not listed": signed(t, jose.RS512, f.key, claims(nil)),
				"changed":                         head + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"x"}`)) + "." + signature,
				"expired":                         signed(t, jose.RS256, f.key, claims(map[string]any{"exp": time.Now().Add(-time.Second).Unix()})),
				"without end":                     signed(t, jose.RS256, f.key, claims(map[string]any{"exp": nil})),
				"not yet":                         signed(t, jose.RS256, f.key, claims(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()})),
				"for others":                      signed(t, jose.RS256, f.key, claims(map[string]any{"aud": []string{"pacs"}})),
				"of others":                       signed(t, jose.RS256, f.key, claims(map[string]any{"iss": "https://other.example"})),
				"of nobody":                       signed(t, jose.RS256, f.key, claims(map[string]any{"sub": nil})),
				"not listed":                      signed(t, jose.RS256, f.key, claims(map[string]any{"sub": "scope2"})),
			} {
				_, err := j.Verify(t.Context(), token)
				require.Error(t, err, what)
				assert.NotErrorIs(t, err, ErrKeys, what)
				assert.NotContains(t, err.Error(), "scope", what)
			}
		})
	}
}

// TestJWT_keysMissing tells that nothing is known from a token that is wrong.
func TestJWT_keysMissing(t *testing.T) {
	f := newForger(t)
	token := signed(t, jose.RS256, f.key, map[string]any{"iss": f.URL, "aud": "endogate", "sub": "scope1", "exp": time.Now().Add(time.Minute).Unix()})
	for _, j := range []*JWT{
		{Issuer: "https://127.0.0.1:1", Client: http.DefaultClient},
		{Issuer: f.URL, KeysURL: "http://127.0.0.1:1/keys", Client: http.DefaultClient},
		{Issuer: f.URL, KeysURL: f.URL + "/nothing", Client: f.Client()},
		{Issuer: f.URL, KeysFile: filepath.Join(t.TempDir(), "none")},
	} {
		j.Audience, j.Algorithms, j.Claim, j.Now = "endogate", []string{"RS256"}, "sub", time.Now
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := j.Verify(ctx, token)
		cancel()
		require.ErrorIs(t, err, ErrKeys)
	}
}
