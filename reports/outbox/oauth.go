package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"endogate/dicomnode/clock"
)

const (
	maxSecret   = 64 << 10         // bytes of a file with a secret, and of an answer with a token
	tokenMargin = 30 * time.Second // before a token's end, from which on it is not used any more
	tokenLasts  = 5 * time.Minute  // where the server does not say
)

// Secret reads a token or password from a file, every time: it may be changed while the gateway runs.
func Secret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSecret))
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(strings.TrimPrefix(string(text), "\ufeff")) // which editors put before a text
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s: one line with a secret is expected", file)
	}
	return secret, nil
}

// ClientCredentials gets tokens for a client's own sake (RFC 6749 4.4). It may be used from any goroutine.
type ClientCredentials struct {
	TokenURL, ClientID, SecretFile, Scope string
	Client                                *http.Client     // as FHIR's
	Now                                   func() time.Time // nil is time.Now

	mu    sync.Mutex
	token string
	good  clock.Wait
}

// Token returns a token that is good for a while; fresh: not the one that it returned before.
func (c *ClientCredentials) Token(ctx context.Context, fresh bool) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	if !fresh && c.token != "" && !c.good.Over(now()) {
		return c.token, nil
	}
	c.token = ""
	secret, err := Secret(c.SecretFile)
	if err != nil {
		return "", fmt.Errorf("oauth: %w", err)
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.Scope != "" {
		form.Set("scope", c.Scope)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(secret)) // RFC 6749 2.3.1
	response, err := c.Client.Do(request)
	if err != nil {
		return "", fmt.Errorf("oauth: no token: %s", reasonOf(err))
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token   string  `json:"access_token"`
		Type    string  `json:"token_type"`
		Seconds float64 `json:"expires_in"`
		Error   string  `json:"error"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, maxSecret)).Decode(&answer)
	switch {
	case response.StatusCode != http.StatusOK:
		return "", fmt.Errorf("oauth: no token: the server answered %d %s", response.StatusCode, errorCode.FindString(answer.Error))
	case err != nil || answer.Token == "":
		return "", errors.New("oauth: no token: the server's answer has none")
	case !strings.EqualFold(answer.Type, "bearer"):
		return "", errors.New("oauth: no token: the server gives one of another type than bearer")
	}
	lasts := tokenLasts
	if answer.Seconds > 0 {
		lasts = time.Duration(min(answer.Seconds, 24*3600)) * time.Second
	}
	c.token, c.good = answer.Token, clock.Wait{Began: now(), For: lasts - min(tokenMargin, lasts/2)}
	return c.token, nil
}

// errorCode is what RFC 6749 5.2 says an error is called by; anything else may be of any kind.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)
