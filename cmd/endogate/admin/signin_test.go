package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
)

const goodPassword = "correct horse battery"

// house is a server at which people sign in, with what it has written into the audit trail.
type house struct {
	*httptest.Server
	*SignIn
	server *Server
	mu     sync.Mutex
	at     time.Time
	events []audit.Event
	full   error // of the audit trail
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func (h *house) trail() []audit.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// newHouse has a user of each role, called as it, with the good password.
func newHouse(t *testing.T, change ...func(*SignIn)) *house {
	t.Helper()
	h := &house{at: time.Now()}
	store, err := access.Open(filepath.Join(t.TempDir(), "access"), h.now)
	require.NoError(t, err)
	for _, role := range access.Roles {
		require.NoError(t, store.AddUser(string(role), role))
		require.NoError(t, store.SetPassword(t.Context(), string(role), goodPassword))
	}
	h.SignIn = &SignIn{
		Store: store, Required: true, Local: true, Idle: time.Hour, Longest: 12 * time.Hour, Now: h.now,
		Record: func(_ context.Context, e audit.Event) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.full == nil {
				h.events = append(h.events, e)
			}
			return h.full
		},
	}
	for _, c := range change {
		c(h.SignIn)
	}
	h.server = newServer(t, newHospital(t))
	h.server.SignIn = h.SignIn
	h.Server = httptest.NewServer(h.server.Handler())
	t.Cleanup(h.Close)
	return h
}

// visitor keeps cookies and follows nothing.
func visitor(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: jar, Transport: http.DefaultTransport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// ask sends a request and returns the answer's status, text and header. A body that is not nil goes as JSON.
func (h *house) ask(t *testing.T, client *http.Client, method, path string, body any, header ...string) (int, string, http.Header) {
	t.Helper()
	var r io.Reader
	if form, ok := body.(url.Values); ok {
		r = strings.NewReader(form.Encode())
	} else if body != nil {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		r = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, r)
	require.NoError(t, err)
	request.Header.Set(ActionHeader, "1")
	if _, ok := body.(url.Values); ok {
		request.Header.Del(ActionHeader)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text), answer.Header
}

func credentials(name, password string) url.Values {
	return url.Values{"name": {name}, "password": {password}}
}

func (h *house) signedIn(t *testing.T, name string) *http.Client {
	t.Helper()
	client := visitor(t)
	status, text, header := h.ask(t, client, http.MethodPost, "/signin", credentials(name, goodPassword))
	require.Equal(t, http.StatusSeeOther, status, text)
	require.Equal(t, "/", header.Get("Location"))
	return client
}

// TestRights asks for every route as nobody, and as each role.
func TestRights(t *testing.T) {
	h := newHouse(t)
	h.server.Reviews.(*hospital).byPhysician = true // else it is the configuration that forbids
	routes := map[string]bool{}
	for _, r := range h.server.router().Routes() {
		if strings.HasPrefix(r.Path, "/") && !forAll[r.Path] {
			routes[strings.Replace(r.Method, http.MethodHead, http.MethodGet, 1)+" "+r.Path] = true
		}
	}
	assert.Equal(t, slices.Sorted(maps.Keys(rightsOf)), slices.Sorted(maps.Keys(routes)), "each route has a right, and each right a route")

	clients := map[access.Role]*http.Client{"": visitor(t)}
	for _, role := range access.Roles {
		clients[role] = h.signedIn(t, string(role))
	}
	for route := range rightsOf {
		_, trailed := trails[route]
		own := map[string]bool{"POST /api/v1/break-glass": true, "POST /api/v1/prove": true}                                   // say more of it themselves
		asks := map[string]bool{"POST /api/v1/destinations/:name/echo": true, "POST /api/v1/destinations/:name/accepts": true} // and leave all as it is
		assert.True(t, trailed || own[route] || asks[route] || strings.HasPrefix(route, "GET "), "%s: no word of it in the audit trail", route)
	}
	for route, needs := range rightsOf {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer(":uid", "2.25.1001", ":instance", "2.25.1001.5", ":file", "1.jpg", ":id", "none", ":name", "none").Replace(path)
		for role, client := range clients {
			status, _, header := h.ask(t, client, method, path, nil)
			who := access.Identity{Role: role}
			switch {
			case role == "" && path == "/":
				assert.Equal(t, http.StatusSeeOther, status)
				assert.Equal(t, "/signin", header.Get("Location"))
			case role == "":
				assert.Equal(t, http.StatusUnauthorized, status, route)
				assert.Equal(t, "Bearer", header.Get("WWW-Authenticate"))
			case !who.May(needs):
				assert.Equal(t, http.StatusForbidden, status, "%s as %s", route, role)
			default:
				assert.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, status, "%s as %s", route, role)
			}
		}
	}
	for _, path := range []string{"/healthz", "/signin", "/assets/style.css", "/api/v1/openapi.json", "/api/v1/me"} {
		status, _, _ := h.ask(t, clients[""], http.MethodGet, path, nil)
		assert.Equal(t, http.StatusOK, status, path)
	}
	_, text, _ := h.ask(t, clients[""], http.MethodGet, "/readyz", nil)
	assert.NotContains(t, text, "checks")
	_, text, _ = h.ask(t, clients[access.Viewer], http.MethodGet, "/readyz", nil)
	assert.Contains(t, text, "checks")
	status, _, _ := h.ask(t, clients[""], http.MethodGet, "/nowhere", nil)
	assert.Equal(t, http.StatusNotFound, status)
}

func TestSignIn(t *testing.T) {
	h := newHouse(t)
	client := visitor(t)
	for _, wrong := range []url.Values{credentials("viewer", "wrong"), credentials("nobody", goodPassword), credentials(evil, evil), {}} {
		status, text, _ := h.ask(t, client, http.MethodPost, "/signin", wrong)
		require.Equal(t, http.StatusUnauthorized, status)
		assert.Contains(t, text, "Name or password is wrong.")
		assert.NotContains(t, text, "<img src=x")
		assert.NotContains(t, text, goodPassword)
	}
	status, _, header := h.ask(t, client, http.MethodPost, "/signin", credentials("Viewer ", goodPassword))
	require.Equal(t, http.StatusSeeOther, status)
	for _, cookie := range header.Values("Set-Cookie") {
		assert.Contains(t, cookie, "HttpOnly")
		assert.Contains(t, cookie, "SameSite=")
		assert.NotContains(t, cookie, goodPassword)
	}
	status, text, _ := h.ask(t, client, http.MethodGet, "/api/v1/me", nil)
	require.Equal(t, http.StatusOK, status)
	assert.JSONEq(t, `{"name":"viewer","role":"viewer","method":"password","rights":["look"],"signed_in":true,"required":true,"signs":false}`, text)

	stolen := visitor(t)
	before, _ := url.Parse(h.URL)
	stolen.Jar.SetCookies(before, client.Jar.Cookies(before))
	status, _, _ = h.ask(t, client, http.MethodPost, "/signin", credentials("clinician", goodPassword))
	require.Equal(t, http.StatusSeeOther, status)
	status, _, _ = h.ask(t, stolen, http.MethodGet, "/api/v1/studies", nil)
	assert.Equal(t, http.StatusUnauthorized, status, "a session of before is not that of who signs in now")

	status, _, _ = h.ask(t, client, http.MethodPost, "/signout", url.Values{})
	require.Equal(t, http.StatusSeeOther, status)
	status, _, _ = h.ask(t, client, http.MethodGet, "/api/v1/studies", nil)
	assert.Equal(t, http.StatusUnauthorized, status)

	var kinds []string
	for _, e := range h.trail() {
		if e.ID == audit.UserAuthentication {
			kinds = append(kinds, e.Type.Meaning+string(e.Outcome)+" "+e.Participants[0].ID)
		}
		assert.NotContains(t, fmt.Sprint(e), goodPassword)
		assert.NotContains(t, fmt.Sprint(e), evil, "people type passwords into the wrong field")
	}
	assert.Equal(t, []string{"Login4 viewer", "Login4 not known", "Login viewer", "Login clinician", "Logout clinician"}, kinds)
}

// TestSignIn_ends has sessions end when a user is changed or removed, and after their time.
func TestSignIn_ends(t *testing.T) {
	h := newHouse(t)
	works := func(client *http.Client) int {
		status, _, _ := h.ask(t, client, http.MethodGet, "/api/v1/studies", nil)
		return status
	}
	operator, viewer, administrator := h.signedIn(t, "operator"), h.signedIn(t, "viewer"), h.signedIn(t, "administrator")
	h.pass(time.Second)
	status, text, _ := h.ask(t, administrator, http.MethodPatch, "/api/v1/users/operator", map[string]string{"role": "viewer"})
	require.Equal(t, http.StatusNoContent, status, text)
	assert.Equal(t, http.StatusUnauthorized, works(operator))
	require.NoError(t, h.Store.SetPassword(t.Context(), "viewer", goodPassword+"!"))
	assert.Equal(t, http.StatusUnauthorized, works(viewer))
	require.Equal(t, http.StatusOK, works(administrator))
	status, _, _ = h.ask(t, administrator, http.MethodDelete, "/api/v1/users/administrator", nil)
	require.Equal(t, http.StatusNoContent, status)
	assert.Equal(t, http.StatusUnauthorized, works(administrator))
}

// TestSignIn_guessing has one who guesses wait, and nobody else.
func TestSignIn_guessing(t *testing.T) {
	h := newHouse(t, func(in *SignIn) { in.Proxy = Proxy{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}} })
	client, mine := visitor(t), h.signedIn(t, "viewer")
	try := func(client *http.Client, password, from string) int {
		status, _, header := h.ask(t, client, http.MethodPost, "/signin", credentials("viewer", password), "X-Forwarded-For", from)
		if status == http.StatusTooManyRequests {
			assert.NotEmpty(t, header.Get("Retry-After"))
		}
		return status
	}
	for range 5 {
		require.Equal(t, http.StatusUnauthorized, try(client, "wrong", "198.51.100.1"))
	}
	assert.Equal(t, http.StatusTooManyRequests, try(client, goodPassword, "198.51.100.1"), "also with the right one, which would tell")
	assert.Equal(t, http.StatusSeeOther, try(visitor(t), goodPassword, "198.51.100.2"), "the user elsewhere")
	assert.Equal(t, http.StatusSeeOther, try(mine, goodPassword, "198.51.100.1"), "and in the browser that was used before")
	h.pass(time.Second)
	assert.Equal(t, http.StatusSeeOther, try(client, goodPassword, "198.51.100.1"))
}

// TestSignIn_names hides whose studies are from who may not see it, until the glass is broken.
func TestSignIn_names(t *testing.T) {
	h := newHouse(t)
	paths := []string{"/api/v1/studies", "/api/v1/studies/2.25.1001", "/api/v1/parked"}
	shows := func(client *http.Client, path string) bool {
		status, text, _ := h.ask(t, client, http.MethodGet, path, nil)
		require.Equal(t, http.StatusOK, status)
		return strings.Contains(text, "Nováková") || strings.Contains(text, "7405121234")
	}
	clinician, viewer := h.signedIn(t, "clinician"), h.signedIn(t, "viewer")
	assert.True(t, shows(clinician, paths[0]))
	assert.True(t, shows(clinician, paths[1]))
	for _, path := range paths {
		assert.False(t, shows(viewer, path), path)
	}
	status, _, _ := h.ask(t, viewer, http.MethodGet, "/api/v1/studies?patient_id=7405121234", nil)
	assert.Equal(t, http.StatusForbidden, status, "that there are some would tell")
	status, _, _ = h.ask(t, viewer, http.MethodPost, "/api/v1/break-glass", map[string]string{"reason": " x "})
	assert.Equal(t, http.StatusBadRequest, status)
	status, text, _ := h.ask(t, viewer, http.MethodPost, "/api/v1/break-glass", map[string]string{"reason": "patient bleeds, nobody else here"})
	require.Equal(t, http.StatusOK, status, text)
	assert.True(t, shows(viewer, paths[1]))
	h.pass(glass)
	assert.False(t, shows(viewer, paths[1]))
	administrator := h.signedIn(t, "administrator")
	assert.False(t, shows(administrator, "/api/v1/audit"), "the right to read the trail is none to see whose a study is")
	status, text, _ = h.ask(t, administrator, http.MethodPost, "/api/v1/break-glass", map[string]string{"reason": "who looked at this patient, asks the data protection officer"})
	require.Equal(t, http.StatusOK, status, text)
	assert.True(t, shows(administrator, "/api/v1/audit"))
	found := slices.ContainsFunc(h.trail(), func(e audit.Event) bool {
		return e.Type == audit.EmergencyOverride && e.Why == "patient bleeds, nobody else here" && e.Participants[0].ID == "viewer"
	})
	assert.True(t, found)
}

func TestSignIn_tokens(t *testing.T) {
	h := newHouse(t)
	administrator, program := h.signedIn(t, "administrator"), &http.Client{}
	status, text, _ := h.ask(t, administrator, http.MethodPost, "/api/v1/tokens", map[string]any{"name": "prometheus", "role": "operator", "scope": []string{"measure"}, "expires": "24h"})
	require.Equal(t, http.StatusCreated, status, text)
	var made tokenView
	require.NoError(t, json.Unmarshal([]byte(text), &made))
	bearer := func(path, token string) int {
		status, _, _ := h.ask(t, program, http.MethodGet, path, nil, "Authorization", "Bearer "+token)
		return status
	}
	assert.Equal(t, http.StatusOK, bearer("/metrics", made.Token))
	assert.Equal(t, http.StatusForbidden, bearer("/api/v1/studies", made.Token))
	assert.Equal(t, http.StatusUnauthorized, bearer("/metrics", made.Token+"x"))
	assert.Equal(t, http.StatusUnauthorized, bearer("/healthz", "x"), "a wrong token is never looked over")
	status, _, _ = h.ask(t, program, http.MethodGet, "/metrics", nil, "Authorization", "Basic dmlld2VyOg==")
	assert.Equal(t, http.StatusUnauthorized, status)
	status, text, _ = h.ask(t, administrator, http.MethodGet, "/api/v1/tokens", nil)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, made.ID)
	assert.NotContains(t, text, made.Token[36:])
	status, _, _ = h.ask(t, administrator, http.MethodDelete, "/api/v1/tokens/"+made.ID, nil)
	require.Equal(t, http.StatusNoContent, status)
	assert.Equal(t, http.StatusUnauthorized, bearer("/metrics", made.Token))
	for _, bad := range []map[string]any{
		{"name": "x", "role": "operator"},
		{"name": "x", "role": "operator", "expires": "1"},
		{"name": "x", "role": "root", "expires": "1h"},
		{"name": "", "role": "viewer", "expires": "1h"},
		{"name": "x", "role": "viewer", "expires": "1h", "scope": []string{"administer"}},
		{"more": 1},
	} {
		status, _, _ = h.ask(t, administrator, http.MethodPost, "/api/v1/tokens", bad)
		assert.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, status, "%v", bad)
	}
}

func TestSignIn_setUp(t *testing.T) {
	h := newHouse(t)
	administrator, client := h.signedIn(t, "administrator"), visitor(t)
	status, text, _ := h.ask(t, administrator, http.MethodPost, "/api/v1/users", map[string]string{"name": "anna", "role": "clinician"})
	require.Equal(t, http.StatusCreated, status, text)
	var made link
	require.NoError(t, json.Unmarshal([]byte(text), &made))
	status, text, _ = h.ask(t, client, http.MethodGet, made.Path, nil)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, "Set a password")
	key := strings.TrimPrefix(made.Path, "/setup?key=")
	set := func(key, password, again string) int {
		status, _, _ := h.ask(t, client, http.MethodPost, "/setup", url.Values{"key": {key}, "password": {password}, "again": {again}})
		return status
	}
	assert.Equal(t, http.StatusUnprocessableEntity, set(key, "short", "short"))
	assert.Equal(t, http.StatusUnprocessableEntity, set(key, goodPassword, goodPassword+"!"))
	assert.Equal(t, http.StatusForbidden, set(key+"x", goodPassword, goodPassword))
	require.Equal(t, http.StatusSeeOther, set(key, goodPassword, goodPassword))
	status, text, _ = h.ask(t, client, http.MethodGet, "/api/v1/me", nil)
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, text, `"name":"anna"`)
	assert.Equal(t, http.StatusForbidden, set(key, goodPassword, goodPassword), "once")
	status, _, _ = h.ask(t, administrator, http.MethodPost, "/api/v1/users", map[string]string{"name": "anna", "role": "clinician"})
	assert.Equal(t, http.StatusConflict, status)
	status, text, _ = h.ask(t, administrator, http.MethodGet, "/api/v1/users", nil)
	require.Equal(t, http.StatusOK, status)
	assert.NotContains(t, text, "argon2")
}

// TestSignIn_proxy takes a name from a proxy, and from nobody else.
func TestSignIn_proxy(t *testing.T) {
	for _, tt := range []struct {
		from string
		want int
	}{{"127.0.0.0/8", http.StatusOK}, {"192.0.2.0/24", http.StatusUnauthorized}} {
		h := newHouse(t, func(in *SignIn) {
			in.Proxy = Proxy{Header: "X-Remote-User", From: []netip.Prefix{netip.MustParsePrefix(tt.from)}, Role: access.Viewer}
		})
		status, _, _ := h.ask(t, visitor(t), http.MethodGet, "/api/v1/studies", nil, "X-Remote-User", "somebody")
		assert.Equal(t, tt.want, status)
		status, _, _ = h.ask(t, visitor(t), http.MethodGet, "/api/v1/users", nil, "X-Remote-User", "Administrator")
		assert.Equal(t, tt.want, status, "a user here has the role of here")
		if tt.want == http.StatusOK {
			status, _, _ = h.ask(t, visitor(t), http.MethodGet, "/api/v1/users", nil, "X-Remote-User", "somebody")
			assert.Equal(t, http.StatusForbidden, status)
		}
	}
}

// TestSignIn_notRequired lets everybody in, and knows who signs in all the same.
func TestSignIn_notRequired(t *testing.T) {
	h := newHouse(t, func(in *SignIn) { in.Required = false })
	status, _, _ := h.ask(t, visitor(t), http.MethodGet, "/api/v1/users", nil)
	assert.Equal(t, http.StatusOK, status)
	status, _, _ = h.ask(t, h.signedIn(t, "viewer"), http.MethodGet, "/api/v1/users", nil)
	assert.Equal(t, http.StatusForbidden, status)
}

// TestSignIn_unrecorded does nothing of which the audit trail could not have a word.
func TestSignIn_unrecorded(t *testing.T) {
	h := newHouse(t)
	client := h.signedIn(t, "clinician")
	h.mu.Lock()
	h.full = errors.New("disk full")
	h.mu.Unlock()
	status, text, _ := h.ask(t, client, http.MethodGet, "/api/v1/studies/2.25.1001", nil)
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Contains(t, text, "audit trail")
	status, _, _ = h.ask(t, client, http.MethodGet, "/api/v1/studies/2.25.1001", nil)
	assert.Equal(t, http.StatusInternalServerError, status, "nor when it is asked again")
	status, _, _ = h.ask(t, visitor(t), http.MethodPost, "/signin", credentials("viewer", goodPassword))
	assert.Equal(t, http.StatusInternalServerError, status)
}

// TestSignIn_otherOrigin refuses a form that a page elsewhere sends.
func TestSignIn_otherOrigin(t *testing.T) {
	h := newHouse(t)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		status, _, _ := h.ask(t, visitor(t), http.MethodPost, "/signin", credentials("viewer", goodPassword), header...)
		assert.Equal(t, http.StatusForbidden, status)
	}
	status, _, _ := h.ask(t, h.signedIn(t, "operator"), http.MethodPost, "/api/v1/parked/retry", url.Values{"a": {"b"}})
	assert.Equal(t, http.StatusForbidden, status, "a form is for the sign-in only")
}
