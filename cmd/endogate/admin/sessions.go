package admin

import (
	"sync"
	"time"
)

// memory keeps sessions until they end, or the process does: then people sign in again. It implements scs.Store.
type memory struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]session // by their token
}

type session struct {
	data []byte
	ends time.Time
}

// mostSessions bounds what is kept; only who has signed in has one.
const mostSessions = 50_000

// Find returns a session that has not ended.
func (m *memory) Find(token string) (data []byte, found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.all[token]
	if !ok || !m.now().Before(s.ends) {
		return nil, false, nil
	}
	return s.data, true, nil
}

// Commit keeps a session. Where there are too many, those that have ended go, and else those that end first.
func (m *memory) Commit(token string, data []byte, ends time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.all[token]; !known && len(m.all) >= mostSessions {
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

// Delete ends a session.
func (m *memory) Delete(token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, token)
	return nil
}
