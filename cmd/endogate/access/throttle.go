package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Throttle makes who guesses passwords wait longer with each miss. What is counted is a name together with where it is tried
// from, and where it is tried from alone: never a name wherever it is tried, so that nobody can lock others out. A browser that
// somebody has signed in with before is a place of its own (a device, as the OWASP authentication sheet has it), also behind an
// address from which others guess.
type Throttle struct {
	now func() time.Time
	key [32]byte // of the marks of devices

	mu    sync.Mutex
	tries map[string]tries
}

type tries struct {
	misses int
	last   time.Time
}

// How long to wait: nothing for the first misses, then from a second, twice as long with each. Of an address alone it stays
// short, as a whole hospital may be behind one.
const (
	freeMisses     = 5
	longestWait    = 15 * time.Minute
	freeOfAddress  = 50
	longestAddress = 5 * time.Second
	forgottenAfter = time.Hour
	mostTries      = 100_000 // places remembered, some 10 MB
)

// NewThrottle returns one that knows of no misses.
func NewThrottle(now func() time.Time) *Throttle {
	t := &Throttle{now: now, tries: map[string]tries{}}
	_, _ = rand.Read(t.key[:]) // never fails (crypto/rand)
	return t
}

// Try is an attempt to sign in: which name, from where, and the mark of the device, if it has one.
type Try struct {
	Name    string
	Address netip.Addr
	Device  string
}

// Wait is how long the attempt has to wait; above zero it is not to be made now.
func (t *Throttle) Wait(a Try) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due(a)
}

// Begin is Wait of an attempt whose secret is looked at now, which is counted as a miss where it need not wait; Hit is called after it was right. It
// is one step: attempts at the same time do not get round the wait.
func (t *Throttle) Begin(a Try) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait := t.due(a)
	if wait == 0 {
		t.missed(a)
	}
	return wait
}

func (t *Throttle) due(a Try) time.Duration {
	place, address := t.places(a)
	wait := t.wait(t.tries[place], freeMisses, longestWait)
	if address != "" {
		wait = max(wait, t.wait(t.tries[address], freeOfAddress, longestAddress))
	}
	return wait
}

func (t *Throttle) wait(k tries, free int, longest time.Duration) time.Duration {
	if k.misses < free {
		return 0
	}
	due := min(time.Second<<min(k.misses-free, 20), longest)
	return max(0, due-t.now().Sub(k.last))
}

// Missed counts a miss.
func (t *Throttle) Missed(a Try) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.missed(a)
}

func (t *Throttle) missed(a Try) {
	now := t.now()
	if len(t.tries) >= mostTries {
		t.forget(now)
	}
	place, address := t.places(a)
	for _, key := range []string{place, address} {
		if k := t.tries[key]; key != "" {
			if now.Sub(k.last) > forgottenAfter {
				k.misses = 0
			}
			t.tries[key] = tries{k.misses + 1, now}
		}
	}
}

// Hit forgets the misses of the name at this place, and takes its last one back from the address.
func (t *Throttle) Hit(a Try) {
	t.mu.Lock()
	defer t.mu.Unlock()
	place, address := t.places(a)
	delete(t.tries, place)
	if k, ok := t.tries[address]; ok && k.misses > 0 {
		k.misses--
		t.tries[address] = k
	}
}

// forget makes room: what is old, else everything; who is made to guess anew from so many places has not come far.
func (t *Throttle) forget(now time.Time) {
	for key, k := range t.tries {
		if now.Sub(k.last) > forgottenAfter {
			delete(t.tries, key)
		}
	}
	if len(t.tries) >= mostTries {
		clear(t.tries)
	}
}

// places are the keys that an attempt counts for: one of a device is not one of its address.
func (t *Throttle) places(a Try) (place, address string) {
	if t.known(a) {
		return "device " + a.Device, ""
	}
	bits := 32
	if a.Address = a.Address.Unmap(); a.Address.Is6() {
		bits = 64 // whoever has one has all of them
	}
	network, err := a.Address.Prefix(bits)
	if err != nil {
		network = netip.Prefix{} // of no address: one place
	}
	sum := sha256.Sum256([]byte(a.Name)) // a name may be as long as a request
	return "name " + string(sum[:]) + network.String(), "address " + network.String()
}

// Mark makes the mark of a device with which name has signed in.
func (t *Throttle) Mark(name string) string {
	nonce := rand.Text()
	return nonce + "." + t.sign(name, nonce)
}

func (t *Throttle) known(a Try) bool {
	nonce, sum, ok := strings.Cut(a.Device, ".")
	return ok && hmac.Equal([]byte(sum), []byte(t.sign(a.Name, nonce)))
}

func (t *Throttle) sign(name, nonce string) string {
	mac := hmac.New(sha256.New, t.key[:])
	mac.Write([]byte(nonce + " " + name))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
