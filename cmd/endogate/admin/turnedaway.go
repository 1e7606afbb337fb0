package admin

import (
	"slices"
	"sync"
	"time"
)

// TurnedAway is a caller that is no peer, as often as it came.
type TurnedAway struct {
	AETitle string    `json:"ae_title"` // as it says
	Address string    `json:"address"`
	Why     string    `json:"why"` // address, title or both: what is not listed, or not together
	Count   int       `json:"count"`
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
}

// What of a caller is not listed.
const (
	NotAddress = "address" // its title is listed with other addresses
	NotTitle   = "title"   // its address is listed with other titles
	NotListed  = "both"
)

// maxTurnedAway bounds the list: whoever calls under a thousand names must not fill it for ever.
const maxTurnedAway = 50

// turnedAway is the list, since the start.
type turnedAway struct {
	mu  sync.Mutex
	all []TurnedAway
}

// add counts a caller. Where the list is full the one goes that has not called for longest, first of those of whom nothing is listed:
// a known title is not to be crowded out by unknown ones.
func (t *turnedAway) add(one TurnedAway, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.all {
		if o := &t.all[i]; o.AETitle == one.AETitle && o.Address == one.Address && o.Why == one.Why {
			o.Count, o.LastAt = o.Count+1, now
			return
		}
	}
	one.Count, one.FirstAt, one.LastAt = 1, now, now
	if len(t.all) == maxTurnedAway {
		at, rank := 0, func(o TurnedAway) int { return slices.Index([]string{NotAddress, NotTitle, NotListed}, o.Why) }
		for i, o := range t.all {
			if rank(o) > rank(t.all[at]) || rank(o) == rank(t.all[at]) && o.LastAt.Before(t.all[at].LastAt) {
				at = i
			}
		}
		if rank(one) > rank(t.all[at]) {
			return // all others say more
		}
		t.all = slices.Delete(t.all, at, at+1)
	}
	t.all = append(t.all, one)
}

// list has who called last first.
func (t *turnedAway) list() []TurnedAway {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.all)
	slices.SortStableFunc(all, func(a, b TurnedAway) int { return b.LastAt.Compare(a.LastAt) })
	return all
}
