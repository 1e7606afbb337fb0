package admin

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
)

// forger is a provider that says what it is told to, right or wrong. A real one is in the gateway's tests.
type forger struct {
	*httptest.Server
	key     *rsa.PrivateKey
	mu      sync.Mutex
	asked   url.Values // of the browser that was sent here
	claims  map[string]any
	signer  *rsa.PrivateKey
	refuses bool
}

func newForger(t *testing.T) *forger {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	f := &forger{key: key, signer: key}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": f.URL, "authorization_endpoint": f.URL + "/authorize", "token_endpoint": f.URL + "/token", "jwks_uri": f.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		challenge := r.FormValue("code_verifier")
		if f.refuses || challenge == "" || r.FormValue("code") != "good" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		claims := map[string]any{"iss": f.URL, "aud": "endogate", "sub": "s-1", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": f.asked.Get("nonce")}
		for k, v := range f.claims {
			claims[k] = v
		}
		text, _ := json.Marshal(claims)
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: f.signer}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
		if err != nil {
			panic(err)
		}
		signed, err := signer.Sign(text)
		if err != nil {
			panic(err)
		}
		compact, _ := signed.CompactSerialize()
		if f.claims["alg"] == "none" {
			compact = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(text) + "."
		}
		if f.claims["alg"] == "HS256" { // with what everybody can read as the secret
			public, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
			confused, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})}, (&jose.SignerOptions{}).WithHeader("kid", "k"))
			if err != nil {
				panic(err)
			}
			signed, _ := confused.Sign(text)
			compact, _ = signed.CompactSerialize()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": compact})
	})
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Close)
	return f
}

func TestProvider(t *testing.T) {
	f := newForger(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	h := newHouse(t, func(in *SignIn) {
		in.Local = false
		in.Provider = &Provider{
			Name: "Hospital", Issuer: f.URL, ClientID: "endogate", ClientSecret: "secret", RolesClaim: "realm_access.roles", Client: f.Client(),
			Roles: map[string]access.Role{"endoscopy": access.Clinician, "it": access.Administrator, "all": access.Viewer},
		}
	})
	h.Provider.RedirectURL = h.URL + "/signin/callback"
	status, text, _ := h.ask(t, visitor(t), http.MethodGet, "/signin", nil)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, "Sign in with Hospital")
	assert.NotContains(t, text, "password")
	status, _, _ = h.ask(t, visitor(t), http.MethodPost, "/signin", credentials("viewer", goodPassword))
	assert.Equal(t, http.StatusNotFound, status)

	roles := func(all ...any) map[string]any { return map[string]any{"realm_access": map[string]any{"roles": all}} }
	with := func(claims, more map[string]any) map[string]any {
		for k, v := range more {
			claims[k] = v
		}
		return claims
	}
	for _, tt := range []struct {
		name   string
		claims map[string]any
		signer *rsa.PrivateKey
		code   string
		change func(url.Values)
		want   access.Role
		called string
	}{
		{name: "clinician", claims: with(roles("all", "endoscopy", "more"), map[string]any{"preferred_username": "anna"}), want: access.Clinician, called: "anna"},
		{name: "an address that nobody has verified is no name", claims: with(roles("it"), map[string]any{"email": "root@example.org"}), want: access.Administrator, called: "s-1"},
		{name: "no role", claims: roles("kitchen", 7)},
		{name: "no claim"},
		{name: "another's key", claims: roles("it"), signer: other},
		{name: "no signature", claims: with(roles("it"), map[string]any{"alg": "none"})},
		{name: "signed with the public key", claims: with(roles("it"), map[string]any{"alg": "HS256"})},
		{name: "another client", claims: with(roles("it"), map[string]any{"aud": "other"})},
		{name: "another issuer", claims: with(roles("it"), map[string]any{"iss": "https://evil.example"})},
		{name: "expired", claims: with(roles("it"), map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})},
		{name: "another nonce", claims: with(roles("it"), map[string]any{"nonce": "other"})},
		{name: "another state", claims: roles("it"), change: func(q url.Values) { q.Set("state", "other") }},
		{name: "no state", claims: roles("it"), change: func(q url.Values) { q.Del("state") }},
		{name: "refused there", claims: roles("it"), change: func(q url.Values) { q.Set("error", "access_denied") }},
		{name: "a code that is none", claims: roles("it"), code: "bad"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := visitor(t)
			status, _, header := h.ask(t, client, http.MethodGet, "/signin/provider", nil)
			require.Equal(t, http.StatusSeeOther, status)
			to, err := url.Parse(header.Get("Location"))
			require.NoError(t, err)
			assert.Equal(t, "S256", to.Query().Get("code_challenge_method"))
			f.mu.Lock()
			f.asked, f.claims, f.signer = to.Query(), tt.claims, f.key
			if tt.signer != nil {
				f.signer = tt.signer
			}
			f.mu.Unlock()
			back := url.Values{"state": {to.Query().Get("state")}, "code": {"good"}}
			if tt.code != "" {
				back.Set("code", tt.code)
			}
			if tt.change != nil {
				tt.change(back)
			}
			status, text, _ := h.ask(t, client, http.MethodGet, "/signin/callback?"+back.Encode(), nil)
			if tt.want == "" {
				require.Equal(t, http.StatusForbidden, status, text)
				assert.Contains(t, text, `role="alert"`)
				status, _, _ = h.ask(t, client, http.MethodGet, "/api/v1/studies", nil)
				require.Equal(t, http.StatusUnauthorized, status)
				return
			}
			require.Equal(t, http.StatusSeeOther, status, text)
			_, text, _ = h.ask(t, client, http.MethodGet, "/api/v1/me", nil)
			var me struct {
				Name   string
				Role   access.Role
				Method access.Method
			}
			require.NoError(t, json.Unmarshal([]byte(text), &me))
			assert.Equal(t, tt.want, me.Role)
			assert.Equal(t, tt.called, me.Name)
			assert.Equal(t, access.ByOIDC, me.Method)
			again, _, _ := h.ask(t, client, http.MethodGet, "/signin/callback?"+back.Encode(), nil)
			assert.Equal(t, http.StatusForbidden, again, "once")
		})
	}
	stranger, err := cookiejar.New(nil)
	require.NoError(t, err)
	status, _, _ = h.ask(t, &http.Client{Jar: stranger}, http.MethodGet, "/signin/callback?state=x&code=good", nil)
	assert.Equal(t, http.StatusForbidden, status, "begun elsewhere")
}

// Whom a provider let in days ago has not proved now who it is: changes to who may what want it asked again there, and believe what it says of when.
func TestProvider_provedAgain(t *testing.T) {
	f := newForger(t)
	h := newHouse(t, func(in *SignIn) {
		in.Provider = &Provider{Name: "Hospital", Issuer: f.URL, ClientID: "endogate", RolesClaim: "roles", Client: f.Client(), Roles: map[string]access.Role{"it": access.Administrator}}
	})
	h.Provider.RedirectURL = h.URL + "/signin/callback"
	now, n := h.Now(), 0
	for _, tt := range []struct {
		name, query string
		at          any // auth_time
		want        int
	}{
		{"does not say", "", nil, http.StatusPreconditionRequired},
		{"does not say, though asked", "?again=1", nil, http.StatusPreconditionRequired},
		{"days ago", "", now.Add(-72 * time.Hour).Unix(), http.StatusPreconditionRequired},
		{"days ago, though asked", "?again=1", now.Add(-72 * time.Hour).Unix(), http.StatusPreconditionRequired},
		{"a text", "?again=1", now.Format(time.RFC3339), http.StatusPreconditionRequired},
		{"now", "?again=1", now.Unix(), http.StatusCreated},
		{"by a clock ahead", "?again=1", now.Add(time.Hour).Unix(), http.StatusCreated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := h.signedIn(t, "administrator") // who has just proved it, and is another
			_, _, header := h.ask(t, client, http.MethodGet, "/signin/provider"+tt.query, nil)
			to, err := url.Parse(header.Get("Location"))
			require.NoError(t, err)
			asked := to.Query()
			assert.Equal(t, tt.query != "", asked.Get("prompt") == "login" && asked.Get("max_age") == "0")
			f.mu.Lock()
			f.asked, f.claims = asked, map[string]any{"roles": "it"}
			if tt.at != nil {
				f.claims["auth_time"] = tt.at
			}
			f.mu.Unlock()
			status, text, _ := h.ask(t, client, http.MethodGet, "/signin/callback?"+url.Values{"state": {asked.Get("state")}, "code": {"good"}}.Encode(), nil)
			require.Equal(t, http.StatusSeeOther, status, text)
			user := func() map[string]any { n++; return map[string]any{"name": fmt.Sprint("user", n), "role": "viewer"} }
			status, text, _ = h.ask(t, client, http.MethodPost, "/api/v1/users", user())
			require.Equal(t, tt.want, status, text)
			if tt.want != http.StatusCreated {
				assert.Contains(t, text, "/signin/provider?again=1")
				return
			}
			h.pass(proveAgain)
			status, _, _ = h.ask(t, client, http.MethodPost, "/api/v1/users", user())
			assert.Equal(t, http.StatusPreconditionRequired, status, "not for ever, whatever clock it had")
			h.pass(-proveAgain)
		})
	}
}

// TestProvider_away says that the provider does not answer, and asks again the next time.
func TestProvider_away(t *testing.T) {
	f := newForger(t)
	address := f.URL
	f.Close()
	h := newHouse(t, func(in *SignIn) { in.Provider = &Provider{Name: "Hospital", Issuer: address, Client: &http.Client{}} })
	status, text, _ := h.ask(t, visitor(t), http.MethodGet, "/signin/provider", nil)
	assert.Equal(t, http.StatusBadGateway, status)
	assert.Contains(t, text, "does not answer")
	assert.Contains(t, text, "Password", "users of here can still sign in")
}
