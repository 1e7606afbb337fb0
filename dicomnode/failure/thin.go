package failure

import (
	"sync"
	"time"
)

const (
	thinAfter = 20          // lines of a kind are written in full
	thinFor   = time.Minute // and then counted for so long
	thinKinds = 1024        // kinds that are told apart
)

// Thinning holds back log lines that repeat: who is refused a thousand times a second must not fill the disk. The zero value is ready;
// Due may be called from any goroutine.
type Thinning struct {
	mu    sync.Mutex
	kinds map[string]*repetition
}

type repetition struct {
	began         time.Time
	written, left int
}

// Due reports whether a line of the kind is to be written, and the number of those that were not written before it.
func (t *Thinning) Due(kind string, now time.Time) (left int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.find(kind, now)
	switch {
	case now.Sub(r.began) >= thinFor:
		left = r.left
		*r = repetition{began: now, written: 1}
	case r.written < thinAfter:
		r.written++
	default:
		r.left++
		return 0, false
	}
	return left, true
}

func (t *Thinning) find(kind string, now time.Time) *repetition {
	if t.kinds == nil {
		t.kinds = make(map[string]*repetition)
	}
	if r, ok := t.kinds[kind]; ok {
		return r
	}
	if len(t.kinds) >= thinKinds {
		for k, r := range t.kinds {
			if now.Sub(r.began) >= thinFor {
				delete(t.kinds, k)
			}
		}
	}
	if len(t.kinds) >= thinKinds {
		kind = "" // the rest together
	}
	r, ok := t.kinds[kind]
	if !ok {
		r = &repetition{began: now}
		t.kinds[kind] = r
	}
	return r
}
