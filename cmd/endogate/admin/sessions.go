package admin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"endogate/cmd/endogate/access"
)

// memory keeps sessions until they end, or the process does: then people sign in again. It implements scs.Store.
type memory struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]session // by their token
}

type session struct {
	data []byte // nil: it was ended
	ends time.Time
}

// mostSessions bounds what is kept; only who has signed in has one.
const mostSessions = 50_000

// Find returns a session that has not ended.
func (m *memory) Find(token string) (data []byte, found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.all[token]
	if !ok || s.data == nil || !m.now().Before(s.ends) {
		return nil, false, nil
	}
	return s.data, true, nil
}

// Commit keeps a session. Where there are too many, those that have ended go, and else those that end first.
func (m *memory) Commit(token string, data []byte, ends time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, known := m.all[token]
	if known && s.data == nil {
		return nil // it was ended while a request of it was under way
	}
	if !known && len(m.all) >= mostSessions {
		m.forget()
	}
	m.all[token] = session{data, ends}
	return nil
}

func (m *memory) forget() {
	now, first := m.now(), ""
	for token, s := range m.all {
		if !now.Before(s.ends) {
			delete(m.all, token)
		} else if first == "" || s.ends.Before(m.all[first].ends) {
			first = token
		}
	}
	if len(m.all) >= mostSessions {
		delete(m.all, first)
	}
}

// each passes every session that has not ended to do, until that is false.
func (m *memory) each(do func(token string, s session) bool) {
	m.mu.Lock()
	all := maps.Clone(m.all)
	m.mu.Unlock()
	now := m.now()
	for token, s := range all {
		if s.data != nil && now.Before(s.ends) && !do(token, s) {
			return
		}
	}
}

// sessionView is a session as administrators see it. Its ID is not what its browser has.
type sessionView struct {
	ID     string        `json:"id"`
	Name   string        `json:"name"`
	Role   access.Role   `json:"role"`
	Method access.Method `json:"method"`
	From   string        `json:"from"`
	Since  time.Time     `json:"since"`
	Ends   time.Time     `json:"ends"` // where it is not used before
	Own    bool          `json:"own"`  // of who asks
}

func sessionID(token string) string {
	sum := sha256.Sum256([]byte("session " + token))
	return hex.EncodeToString(sum[:16])
}

// view reads a session; false where it has no user.
func (in *SignIn) view(token string, s session, own string) (sessionView, bool) {
	_, values, err := in.sessions.Codec.Decode(s.data)
	name, _ := values[sessionName].(string)
	if err != nil || name == "" {
		return sessionView{}, false
	}
	v := sessionView{ID: sessionID(token), Name: name, Ends: s.ends.UTC(), Own: token == own}
	role, _ := values[sessionRole].(string)
	method, _ := values[sessionMethod].(string)
	since, _ := values[sessionSince].(int64)
	v.From, _ = values[sessionFrom].(string)
	v.Role, v.Method, v.Since = access.Role(role), access.Method(method), time.Unix(0, since).UTC()
	if v.Method == access.ByPassword {
		u, err := in.Store.User(name)
		if err != nil || u.Disabled || u.Changed.After(v.Since) {
			return v, false // it ends when it is used
		}
		v.Role = u.Role
	}
	return v, true
}

// sessionsOf lists who has signed in.
func (s *Server) sessionsOf(c echo.Context) error {
	if _, err := s.store(); err != nil {
		return err
	}
	in, all := s.SignIn, []sessionView{}
	own := in.sessions.Token(c.Request().Context())
	in.kept.each(func(token string, one session) bool {
		if v, ok := in.view(token, one, own); ok {
			all = append(all, v)
		}
		return len(all) < mostListed
	})
	slices.SortFunc(all, func(a, b sessionView) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), b.Since.Compare(a.Since), strings.Compare(a.ID, b.ID))
	})
	return c.JSON(http.StatusOK, map[string][]sessionView{"sessions": all})
}

// mostListed bounds the list of sessions.
const mostListed = 1000

// endSession ends one: who has it signs in again.
func (s *Server) endSession(c echo.Context) error {
	if _, err := s.store(); err != nil {
		return err
	}
	id, found := param(c, "id"), ""
	s.SignIn.kept.each(func(token string, _ session) bool {
		if sessionID(token) == id {
			found = token
		}
		return found == ""
	})
	if found == "" {
		return &fault{Code: http.StatusNotFound, What: "the session was not ended", Why: "there is no such session, or it has ended", Next: "see the list of those there are"}
	}
	if found == s.SignIn.sessions.Token(c.Request().Context()) {
		return badRequest("it is the session that asks", "sign out instead")
	}
	if err := s.SignIn.kept.Delete(found); err != nil {
		return faultOf("the session was not ended", err)
	}
	return c.NoContent(http.StatusNoContent)
}

// Delete ends a session. That it has ended is known until every request of it is over.
func (m *memory) Delete(token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.all[token]; known {
		m.all[token] = session{ends: m.now().Add(2 * requestTimeout)}
	}
	return nil
}
