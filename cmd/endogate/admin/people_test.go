package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode/audit"
)

func TestSessions(t *testing.T) {
	h := newHouse(t)
	admin, nurse, again := h.signedIn(t, "administrator"), h.signedIn(t, "viewer"), h.signedIn(t, "viewer")
	var got struct{ Sessions []sessionView }
	list := func() []sessionView {
		t.Helper()
		status, text, _ := h.ask(t, admin, http.MethodGet, "/api/v1/sessions", nil)
		require.Equal(t, http.StatusOK, status)
		got.Sessions = nil
		require.NoError(t, json.Unmarshal([]byte(text), &got))
		return got.Sessions
	}
	all := list()
	require.Len(t, all, 3)
	assert.True(t, all[0].Own)
	assert.Equal(t, access.Viewer, all[1].Role)
	assert.Equal(t, "127.0.0.1", all[1].From)
	for _, s := range all {
		for _, client := range []*http.Client{admin, nurse, again} {
			for _, c := range client.Jar.Cookies(&url.URL{Scheme: "http", Host: strings.TrimPrefix(h.URL, "http://")}) {
				assert.NotContains(t, s.ID, c.Value, "what is shown is no key")
			}
		}
	}
	status, _, _ := h.ask(t, nurse, http.MethodDelete, "/api/v1/sessions/"+all[0].ID, nil)
	assert.Equal(t, http.StatusForbidden, status)
	status, _, _ = h.ask(t, admin, http.MethodDelete, "/api/v1/sessions/"+all[0].ID, nil)
	assert.Equal(t, http.StatusBadRequest, status, "one's own is signed out")
	for _, s := range all[1:] {
		status, _, _ = h.ask(t, admin, http.MethodDelete, "/api/v1/sessions/"+s.ID, nil)
		assert.Equal(t, http.StatusNoContent, status)
	}
	status, _, _ = h.ask(t, admin, http.MethodDelete, "/api/v1/sessions/"+all[1].ID, nil)
	assert.Equal(t, http.StatusNotFound, status)
	for _, client := range []*http.Client{nurse, again} {
		status, _, _ = h.ask(t, client, http.MethodGet, "/api/v1/studies", nil)
		assert.Equal(t, http.StatusUnauthorized, status)
	}
	assert.Len(t, list(), 1)
	assert.True(t, slices.ContainsFunc(h.trail(), func(e audit.Event) bool {
		return slices.ContainsFunc(e.Objects, func(o audit.Object) bool { return o.ID == "/api/v1/sessions/:id" })
	}))
}

func TestUsers_disabled(t *testing.T) {
	h := newHouse(t)
	admin, nurse := h.signedIn(t, "administrator"), h.signedIn(t, "viewer")
	status, _, _ := h.ask(t, admin, http.MethodPatch, "/api/v1/users/viewer", map[string]any{"disabled": true})
	require.Equal(t, http.StatusNoContent, status)
	status, _, _ = h.ask(t, nurse, http.MethodGet, "/api/v1/studies", nil)
	assert.Equal(t, http.StatusUnauthorized, status, "the session has ended")
	status, _, _ = h.ask(t, visitor(t), http.MethodPost, "/signin", credentials("viewer", goodPassword))
	assert.Equal(t, http.StatusUnauthorized, status)
	key, err := h.Store.SetupSecret("viewer", time.Hour)
	require.NoError(t, err)
	_, err = h.Store.SetUp(t.Context(), key, goodPassword)
	require.ErrorIs(t, err, access.ErrRefused, "nor by a link")
	for _, bad := range []any{map[string]any{}, map[string]any{"disabled": false, "role": "viewer"}, map[string]any{"disabled": "yes"}} {
		status, _, _ = h.ask(t, admin, http.MethodPatch, "/api/v1/users/viewer", bad)
		assert.Equal(t, http.StatusBadRequest, status)
	}
	status, _, _ = h.ask(t, admin, http.MethodPatch, "/api/v1/users/administrator", map[string]any{"disabled": true})
	assert.Equal(t, http.StatusBadRequest, status, "nobody locks himself out")
	status, _, _ = h.ask(t, admin, http.MethodPatch, "/api/v1/users/administrator", map[string]any{"role": "viewer"})
	assert.Equal(t, http.StatusBadRequest, status)
	status, _, _ = h.ask(t, admin, http.MethodPatch, "/api/v1/users/viewer", map[string]any{"disabled": false})
	require.Equal(t, http.StatusNoContent, status)
	h.signedIn(t, "viewer")
}

// TestProve has changes to who may what wait for the password, when it was given long ago.
func TestProve(t *testing.T) {
	h := newHouse(t)
	admin := h.signedIn(t, "administrator")
	add := func(name string) int {
		status, _, _ := h.ask(t, admin, http.MethodPost, "/api/v1/users", map[string]any{"name": name, "role": "viewer"})
		return status
	}
	require.Equal(t, http.StatusCreated, add("first"))
	h.pass(proveAgain)
	require.Equal(t, http.StatusPreconditionRequired, add("second"))
	status, _, _ := h.ask(t, admin, http.MethodGet, "/api/v1/users", nil)
	assert.Equal(t, http.StatusOK, status, "looking needs none")
	status, _, _ = h.ask(t, admin, http.MethodPost, "/api/v1/prove", map[string]any{"password": "wrong"})
	assert.Equal(t, http.StatusForbidden, status)
	require.Equal(t, http.StatusPreconditionRequired, add("second"))
	status, _, _ = h.ask(t, admin, http.MethodPost, "/api/v1/prove", map[string]any{"password": goodPassword})
	assert.Equal(t, http.StatusNoContent, status)
	assert.Equal(t, http.StatusCreated, add("second"))
	token, _, err := h.Store.CreateToken("robot", access.Administrator, nil, time.Hour)
	require.NoError(t, err)
	status, _, _ = h.ask(t, visitor(t), http.MethodPost, "/api/v1/users", map[string]any{"name": "third", "role": "viewer"}, "Authorization", "Bearer "+token)
	assert.Equal(t, http.StatusCreated, status, "a program has its token for it")
}

// TestSignIn_trailBroken has an administrator come in and see what is wrong while the audit trail cannot be written, nobody else,
// and nothing be changed; when it can be written again, it says who was there.
func TestSignIn_trailBroken(t *testing.T) {
	h := newHouse(t)
	before := h.signedIn(t, "clinician")
	break_ := func(err error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.full = err
	}
	break_(errors.New("disk full"))
	for _, name := range []string{"viewer", "clinician", "operator"} {
		status, _, _ := h.ask(t, visitor(t), http.MethodPost, "/signin", credentials(name, goodPassword))
		assert.Equal(t, http.StatusInternalServerError, status, name)
	}
	status, _, _ := h.ask(t, visitor(t), http.MethodPost, "/signin", credentials("administrator", "wrong password"))
	assert.Equal(t, http.StatusUnauthorized, status)
	admin := visitor(t)
	status, _, _ = h.ask(t, admin, http.MethodPost, "/signin", credentials("administrator", goodPassword))
	require.Equal(t, http.StatusSeeOther, status)
	for _, path := range []string{"/api/v1/status", "/api/v1/studies", "/api/v1/users", "/api/v1/parked"} {
		status, _, _ := h.ask(t, admin, http.MethodGet, path, nil)
		assert.Equal(t, http.StatusOK, status, path)
	}
	status, _, _ = h.ask(t, admin, http.MethodPost, "/api/v1/users", map[string]any{"name": "mallory", "role": "administrator"})
	assert.Equal(t, http.StatusInternalServerError, status)
	status, _, _ = h.ask(t, admin, http.MethodPost, "/api/v1/break-glass", map[string]any{"reason": "to see names"})
	assert.Equal(t, http.StatusInternalServerError, status)
	status, _, _ = h.ask(t, before, http.MethodGet, "/api/v1/studies", nil)
	assert.Equal(t, http.StatusInternalServerError, status)
	_, err := h.Store.User("mallory")
	require.ErrorIs(t, err, access.ErrUnknown)
	logins := func() (n int) {
		for _, e := range h.trail() {
			if e.Type == audit.Login && e.Outcome != audit.Minor && e.Participants[0].ID == "administrator" {
				n++
				assert.False(t, e.At.IsZero(), "as of when it was")
			}
		}
		return n
	}
	require.Zero(t, logins())
	break_(nil)
	status, _, _ = h.ask(t, before, http.MethodGet, "/api/v1/studies", nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, 1, logins())
}

// TestPeople_page clicks through the page of administrators.
func TestPeople_page(t *testing.T) {
	h := newHouse(t)
	require.NoError(t, h.Store.AddUser("anna", access.Clinician))
	_, _, err := h.Store.CreateToken("prometheus", access.Operator, []access.Right{access.Measure}, 720*time.Hour)
	require.NoError(t, err)
	h.signedIn(t, "viewer")
	b := openAt(t, h.URL)
	b.visit("/setup?key=none&language=nb", "#again")
	assert.Equal(t, "nb", eval[string](b, "document.documentElement.lang"))
	assert.Equal(t, "none", eval[string](b, `document.querySelector("[name=key]").value`))
	b.accessible("set-up, in Norwegian")
	b.visit("/signin?language=en", "#name")
	b.accessible("sign-in")
	b.write("#name", "administrator")
	b.write("#password", goodPassword)
	b.click("form button")
	b.see("#nav-people")
	b.click("#nav-people")
	b.see("#role-anna")
	h.pass(proveAgain)
	b.write("#new-name", "bert")
	b.click("form.row button")
	b.see("#dialog-field")
	b.write("#dialog-field", goodPassword)
	b.click("#dialog-yes")
	b.see("#role-bert")
	assert.Contains(t, b.text("#main"), "/setup?key=")
	b.accessible("people")
	u, err := h.Store.User("bert")
	require.NoError(t, err)
	assert.Equal(t, access.Viewer, u.Role)
	b.click("#disable-anna")
	b.until(`document.querySelector("#disable-anna").innerText === "Enable"`)
	u, err = h.Store.User("anna")
	require.NoError(t, err)
	assert.True(t, u.Disabled)
	b.picture("people", true)
}

// TestPage_signInEnded: whose sign-in ends is told so, and comes back to the view that they had.
func TestPage_signInEnded(t *testing.T) {
	h := newHouse(t)
	b := openAt(t, h.URL)
	signIn := func() {
		b.write("#name", "operator")
		b.write("#password", goodPassword)
		b.click("form button")
	}
	b.visit("/#/outbox", "#name")
	require.NotContains(t, b.text("main"), "has ended", "nobody had signed in")
	signIn()
	b.until(`location.hash === "#/outbox" && document.querySelector("#who")`)
	h.pass(time.Second)
	require.NoError(t, h.Store.SetDisabled("operator", true)) // ends what is signed in
	b.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#/parked"`))
	b.see("#name")
	require.NoError(t, h.Store.SetDisabled("operator", false))
	require.Contains(t, b.text("main"), "Your sign-in has ended", eval[string](b, "location.href"))
	b.accessible("sign-in that has ended")
	signIn()
	b.until(`location.hash === "#/parked" && document.querySelector("#who")`)
}
