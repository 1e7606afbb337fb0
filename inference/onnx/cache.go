package onnx

import (
	"container/list"
	"errors"
	"sync"
)

// DefaultCacheBytes bounds what explanation sessions may hold in memory when nothing else is configured.
const DefaultCacheBytes = 2 << 30

// Cache keeps loaded explanation sessions, one a question, of all models within a number of bytes: the one used longest ago
// goes first. Those that must not go have a cache of their own. Its methods may be called from any goroutine.
type Cache struct {
	budget int64

	mu      sync.Mutex
	entries list.List // of *cached, the latest used in front
	stats   CacheStats
}

// CacheStats is what a Cache holds and has done.
type CacheStats struct {
	Sessions               int
	Bytes                  int64 // of the models loaded; a session's memory for a run comes on top
	Loads, Hits, Evictions uint64
}

// cached is a session that someone may be using.
type cached struct {
	owner   *Explainer
	key     string
	bytes   int64
	users   int
	evicted bool
	loaded  *loaded
}

// NewCache makes a cache of so many bytes; 0 is DefaultCacheBytes. A single session larger than that is kept while it is used.
func NewCache(budget int64) *Cache {
	if budget <= 0 {
		budget = DefaultCacheBytes
	}
	return &Cache{budget: budget}
}

// Stats returns what the cache holds now and has done so far.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// take returns the owner's session for a key, if it is there.
func (c *Cache) take(owner *Explainer, key string) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.entries.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*cached); s.owner == owner && s.key == key {
			c.entries.MoveToFront(e)
			c.stats.Hits++
			s.users++
			return s
		}
	}
	return nil
}

// put adds a session in use; those used longest ago go. That of an owner who is closed goes after this use.
func (c *Cache) put(s *cached) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users = 1
	c.stats.Loads++
	if s.owner.closed {
		s.evicted = true
		return nil
	}
	c.stats.Sessions++
	c.stats.Bytes += s.bytes
	c.entries.PushFront(s)
	var errs []error
	for e := c.entries.Back(); c.stats.Bytes > c.budget && e != c.entries.Front(); e = c.entries.Back() {
		errs = append(errs, c.evict(e))
	}
	return errors.Join(errs...)
}

// evict takes an entry out and closes its session once nobody uses it. The lock is held.
func (c *Cache) evict(e *list.Element) error {
	s := c.entries.Remove(e).(*cached)
	s.evicted = true
	c.stats.Evictions++
	c.stats.Sessions--
	c.stats.Bytes -= s.bytes
	if s.users > 0 {
		return nil
	}
	return s.loaded.Close()
}

// giveBack ends a use.
func (c *Cache) giveBack(s *cached) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users--
	if s.evicted && s.users == 0 {
		return s.loaded.Close()
	}
	return nil
}

// drop takes out what an owner has, and keeps nothing more for it.
func (c *Cache) drop(owner *Explainer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	owner.closed = true
	var errs []error
	for e := c.entries.Front(); e != nil; {
		next := e.Next()
		if e.Value.(*cached).owner == owner {
			errs = append(errs, c.evict(e))
		}
		e = next
	}
	return errors.Join(errs...)
}

// loaded is how many sessions of an owner are in memory.
func (c *Cache) loaded(owner *Explainer) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.entries.Front(); e != nil; e = e.Next() {
		if e.Value.(*cached).owner == owner {
			n++
		}
	}
	return n
}
