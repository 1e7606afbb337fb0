package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/labstack/echo/v4"
	"golang.org/x/oauth2"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
)

// Provider is where people of the hospital sign in (OpenID Connect Core 1.0, by the authorization code flow with PKCE).
type Provider struct {
	Name         string // for the button
	Issuer       string
	ClientID     string
	ClientSecret string
	RedirectURL  string                 // of /signin/callback, as the provider has it
	RolesClaim   string                 // of the ID token, a text or a list
	Roles        map[string]access.Role // by a value of the claim; who has several gets the first of access.Roles from the end
	Client       *http.Client

	mu         sync.Mutex
	discovered *oidc.Provider
}

// providerTime bounds an exchange with the provider.
const providerTime = 15 * time.Second

// discover asks the provider where what is; once, as soon as it answers.
func (p *Provider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.discovered != nil {
		return p.discovered, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), confined(p.Client)), p.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the provider of the sign-in does not answer as one (%w)", err)
	}
	p.discovered = found
	return found, nil
}

// maxProviderAnswer bounds an answer of the provider, in bytes.
const maxProviderAnswer = 4 << 20

// confined is a client that asks nobody but whom it was told to: a redirect elsewhere would take code and secret along, have keys come
// from another, or have this server ask what only it can reach. What it is answered is bounded.
func confined(client *http.Client) *http.Client {
	c := *client
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if first := via[0].URL; r.Method != http.MethodGet || r.URL.Host != first.Host || r.URL.Scheme != first.Scheme || len(via) > 3 {
			return errors.New("it sends its clients elsewhere, which is not followed: the issuer in the configuration has to be its own address")
		}
		return nil
	}
	c.Transport = bounded{cmp.Or(client.Transport, http.DefaultTransport)}
	return &c
}

// bounded ends answers that are too long.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxProviderAnswer)
	}
	return answer, err
}

func (p *Provider) oauth(found *oidc.Provider) oauth2.Config {
	config := oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(), RedirectURL: p.RedirectURL,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}
	var offers struct {
		Scopes []string `json:"scopes_supported"`
	}
	if err := found.Claims(&offers); err == nil && slices.Contains(offers.Scopes, p.RolesClaim) {
		config.Scopes = append(config.Scopes, p.RolesClaim) // some say who is in which group only when they are asked
	}
	return config
}

// wayCookie holds what a browser takes to the provider and back: nothing is kept here of who has not proved who it is.
const (
	wayCookie = "endogate-way"
	wayTime   = 10 * time.Minute
)

func (in *SignIn) way(value string, valid time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: in.cookie(wayCookie), Value: value, Path: "/", MaxAge: int(valid.Seconds()), HttpOnly: true, Secure: in.Secure, SameSite: http.SameSiteLaxMode,
	}
}

// toProvider sends the browser to the provider; with ?again=1 one that asks who it is even where somebody is signed in there.
func (s *Server) toProvider(c echo.Context) error {
	in := s.SignIn
	if in == nil || in.Provider == nil {
		return echo.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), providerTime)
	defer cancel()
	found, err := in.Provider.discover(ctx)
	if err != nil {
		return s.notSignedIn(c, http.StatusBadGateway, "signin.provider-silent", err)
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	c.SetCookie(in.way(strings.Join([]string{state, nonce, verifier}, "."), wayTime))
	config, options := in.Provider.oauth(found), []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if c.QueryParam("again") != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return c.Redirect(http.StatusSeeOther, config.AuthCodeURL(state, options...))
}

// fromProvider takes somebody whom the provider sends back.
func (s *Server) fromProvider(c echo.Context) error {
	in := s.SignIn
	if in == nil || in.Provider == nil {
		return echo.ErrNotFound
	}
	var state, nonce, verifier string
	if way, err := c.Cookie(in.cookie(wayCookie)); err == nil {
		state, nonce, _ = strings.Cut(way.Value, ".")
		nonce, verifier, _ = strings.Cut(nonce, ".")
	}
	c.SetCookie(in.way("", -1))
	switch {
	case state == "" || subtle.ConstantTimeCompare([]byte(state), []byte(c.QueryParam("state"))) != 1:
		return s.notSignedIn(c, http.StatusForbidden, "signin.provider-begin", errors.New("state"))
	case c.QueryParam("error") != "":
		return s.notSignedIn(c, http.StatusForbidden, "signin.provider-refused", errors.New("the provider refused"))
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), providerTime)
	defer cancel()
	who, proved, err := in.Provider.identity(ctx, c.QueryParam("code"), nonce, verifier)
	if err != nil {
		return s.notSignedIn(c, http.StatusForbidden, "signin.provider-unclear", err)
	}
	if who.Role == "" {
		s.alert(c, who, audit.UserAuthentication, audit.Login, "no role")
		return s.notSignedIn(c, http.StatusForbidden, "signin.no-role", errors.New("no role"))
	}
	return s.enter(c, who, proved)
}

// notSignedIn shows the sign-in with what is wrong, by its key of the languages; the log has why.
func (s *Server) notSignedIn(c echo.Context, status int, key string, err error) error {
	s.Log.Warn("admin: nobody was signed in by the provider", "reason", err, "request_id", requestID(c))
	page := s.SignIn.offer()
	page.Fault = key
	return s.page(c, status, "signin.html", page)
}

// identity is whom a code of the provider is for, and when that person last proved it there (auth_time, OpenID Connect Core 1.0 section 2):
// the zero time where the provider does not say.
func (p *Provider) identity(ctx context.Context, code, nonce, verifier string) (who access.Identity, proved time.Time, err error) {
	found, err := p.discover(ctx)
	if err != nil {
		return who, proved, err
	}
	ctx = oidc.ClientContext(ctx, confined(p.Client))
	config := p.oauth(found)
	token, err := config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		var refused *oauth2.RetrieveError
		if errors.As(err, &refused) {
			return who, proved, fmt.Errorf("the provider does not take the code: %s", refused.ErrorCode) // its text may hold the secret
		}
		return who, proved, errors.New("the provider does not give a token")
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID}).Verify(ctx, raw)
	if err != nil {
		return who, proved, fmt.Errorf("the ID token: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return who, proved, errors.New("the ID token is for another sign-in")
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return who, proved, fmt.Errorf("the ID token: %w", err)
	}
	who = access.Identity{Name: nameIn(claims, id.Subject), Role: p.role(claims), Method: access.ByOIDC}
	if at, ok := claims["auth_time"].(float64); ok {
		proved = time.Unix(int64(at), 0)
	}
	if who.Role == "" && found.UserInfoEndpoint() != "" { // some say it there alone
		info, err := found.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil || info.Subject != id.Subject || info.Claims(&claims) != nil {
			return who, proved, nil
		}
		who.Role = p.role(claims)
	}
	return who, proved, nil
}

// nameIn is what a person is called: what the hospital's staff would know, else what the provider does.
func nameIn(claims map[string]any, subject string) string {
	for _, claim := range []string{"preferred_username", "email", "name"} {
		if claim == "email" && claims["email_verified"] != true {
			continue // whoever registers may claim any
		}
		if name, _ := claims[claim].(string); name != "" && len(name) <= maxAuthor {
			return name
		}
	}
	return subject
}

// role is the greatest that the claim gives. A claim may lie within others, as realm_access.roles.
func (p *Provider) role(claims map[string]any) access.Role {
	value, ok := claims[p.RolesClaim]
	for _, key := range strings.Split(p.RolesClaim, ".") {
		if ok {
			break
		}
		if inner, is := claims[key].(map[string]any); is {
			claims = inner
		} else {
			value = claims[key]
		}
	}
	var given []access.Role
	switch v := value.(type) {
	case string:
		given = append(given, p.Roles[v])
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				given = append(given, p.Roles[text])
			}
		}
	}
	for _, r := range slices.Backward(access.Roles) {
		if slices.Contains(given, r) {
			return r
		}
	}
	return ""
}
