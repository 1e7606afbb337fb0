package gateway_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oauth2-proxy/mockoidc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page asks for a path of the gateway and follows where it is sent.
func (g *testGateway) page(client *http.Client, path string, form url.Values, header ...string) (status int, text string) {
	g.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(g.t.Context(), method, "http://"+g.web+path, body)
	require.NoError(g.t, err)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(request)
	require.NoError(g.t, err)
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	require.NoError(g.t, err)
	return answer.StatusCode, string(content)
}

func visitor(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: jar}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// TestGateway_signIn starts a gateway at which nobody can sign in yet, and has people and a program come in.
func TestGateway_signIn(t *testing.T) {
	t.Parallel()
	_, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ""))
	g.replace("spool:", "auth: {required: true}\nspool:")
	g.start()
	nobody := visitor(t)
	status, text := g.page(nobody, "/", nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `action="/signin"`)
	for path, want := range map[string]int{"/api/v1/studies": http.StatusUnauthorized, "/metrics": http.StatusUnauthorized, "/healthz": http.StatusOK, "/readyz": http.StatusOK} {
		status, text := g.page(nobody, path, nil)
		assert.Equal(t, want, status, path)
		assert.NotContains(t, text, "disk above reserve", "of what is wrong those who sign in are told")
	}

	link := regexp.MustCompile(`link="?http://[^/]+(/setup\?key=[\w.-]+)`).FindStringSubmatch(g.Log())
	require.NotNil(t, link, "the first start prints a link")
	first, password := visitor(t), "a password of the first"
	status, text = g.page(first, "/setup", url.Values{"key": {strings.TrimPrefix(link[1], "/setup?key=")}, "password": {password}, "again": {password}})
	require.Equal(t, http.StatusOK, status, text)
	assert.Contains(t, text, `id="main"`, "and signs in")
	status, _ = g.page(first, "/api/v1/users", nil)
	assert.Equal(t, http.StatusOK, status)

	storeAll(t, g.scp, polyps(t, 0, 1, 1)...)
	token := lastLine(g.command("token", "create", "--role", "operator", "--expires", "1h", "--scope", "measure"))
	status, text = g.page(nobody, "/metrics", nil, "Authorization", "Bearer "+token)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, "endogate_")
	status, _ = g.page(nobody, "/api/v1/studies", nil, "Authorization", "Bearer "+token)
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, g.command("user", "add", "anna", "--role", "viewer"), "/setup?key=")
	assert.Contains(t, g.command("parked", "list"), "0 of 0 items", "a command proves itself by the data folder")
	assert.Contains(t, g.commandFails("user", "add", "anna", "--role", "viewer"), "one of that name")
	g.Stop()

	g.start()
	assert.NotContains(t, g.Log(), "nobody can sign in yet")
	status, _ = g.page(visitor(t), "/signin", url.Values{"name": {"admin"}, "password": {password}})
	assert.Equal(t, http.StatusOK, status)
	g.Stop()

	assert.Contains(t, g.command("audit", "verify"), "follow from each other")
	trail := g.command("audit", "export")
	for _, part := range []string{"Application Start", "Application Stop", "Login", "Use of Restricted Function", "User Security Attributes Changed", "Audit Log Used", `UserID="admin"`} {
		assert.Contains(t, trail, part)
	}
	assert.NotContains(t, trail, token)
	assert.NotContains(t, trail, password)
	path := filepath.Join(g.dir, "data", "audit", "audit.log")
	log, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(log), `UserID=\"admin\"`, `UserID=\"anna\"`, 1)), 0o600))
	assert.Contains(t, g.commandFails("audit", "verify"), "not as it was written")
}

// TestGateway_signInElsewhere has a provider that nobody here wrote say who comes.
func TestGateway_signInElsewhere(t *testing.T) {
	t.Parallel()
	provider, err := mockoidc.Run()
	require.NoError(t, err)
	defer func() { require.NoError(t, provider.Shutdown()) }()
	_, address := newMoodyPACS(t)
	g := newGateway(t, routeTo("PACS", address, ""))
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(provider.ClientSecret+"\n"), 0o600))
	g.replace("spool:", `auth:
  required: true
  local: false
  oidc:
    issuer: "`+provider.Issuer()+`"
    client_id: "`+provider.ClientID+`"
    client_secret_file: "`+secret+`"
    redirect_url: "http://`+g.web+`/signin/callback"
    roles_claim: groups
    roles: {clinician: [engineering]}
spool:`)
	g.start()
	client := visitor(t)
	status, text := g.page(client, "/signin/provider", nil)
	require.Equal(t, http.StatusOK, status, text)
	status, text = g.page(client, "/api/v1/me", nil)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"role":"clinician"`)
	assert.Contains(t, text, `"method":"oidc"`)

	provider.QueueUser(&mockoidc.MockUser{Subject: "cook", Groups: []string{"kitchen"}})
	stranger := visitor(t)
	status, text = g.page(stranger, "/signin/provider", nil)
	assert.Equal(t, http.StatusForbidden, status)
	assert.Contains(t, text, "no role here")
	status, _ = g.page(stranger, "/api/v1/studies", nil)
	assert.Equal(t, http.StatusUnauthorized, status)
}
