package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Transfer is an instance, or a message, that came from a peer or went to one.
type Transfer struct {
	Exchange
	SOPClass string // of an instance
	At       time.Time
	Sequence uint64 // of what came: its place in the log that it can be had from again; 0: of none
}

// Exchange is what transfers have in common that are told of together: one patient and study, one peer (PS3.15 A.5.3.7).
type Exchange struct {
	Event          Code // InstancesTransferred, or Export of what is no instance
	Sent           bool // by us; else received
	Study, Patient string
	Peer           string // its AE title, or the name of the destination
	AETitle        string // of the peer, where it has one
	User           string // whom the peer has proved to be
	Host           netip.Addr
	Failed         string // why it was not taken; empty: it was
}

// Transfers gathers transfers, so that a study of any number of instances gives a message or few. What was not yet told of is
// lost with the process, but for what has a sequence: that can be added again from Done on. Its fields are set before use; its
// methods may be called from any goroutine.
type Transfers struct {
	Record  func(context.Context, Event) error
	Self    string        // our own AE title
	Quiet   time.Duration // without more of an exchange, after which it is told of,
	Longest time.Duration // and after so long in any case
	Now     func() time.Time

	mu    sync.Mutex
	open  map[Exchange]*gathered
	heard uint64 // the last sequence that was added
	left  uint64 // the first for which there was no room
}

type gathered struct {
	counts      map[string]int
	n           int
	first       uint64
	since, last time.Time // by our clock
	at          time.Time // of the last transfer
}

// mostExchanges bounds what is gathered at once, as when the trail cannot be written for long.
const mostExchanges = 10_000

// Begin starts after a sequence of which all is told.
func (t *Transfers) Begin(done uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open, t.heard = map[Exchange]*gathered{}, done
}

// Add counts a transfer. One whose sequence was added before is not counted again. It is false where there is no room.
func (t *Transfers) Add(x Transfer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.Sequence > 0 {
		if x.Sequence <= t.heard {
			return true
		}
		t.heard = x.Sequence
	}
	now := t.Now()
	g := t.open[x.Exchange]
	if g == nil {
		if len(t.open) >= mostExchanges {
			if t.left == 0 {
				t.left = x.Sequence
			}
			return false
		}
		g = &gathered{counts: map[string]int{}, first: x.Sequence, since: now}
		t.open[x.Exchange] = g
	}
	g.n++
	g.last, g.at = now, x.At
	if x.SOPClass != "" {
		g.counts[x.SOPClass]++
	}
	return true
}

// Done is a sequence up to which all that was added is told of.
func (t *Transfers) Done() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := t.heard
	if t.left > 0 {
		done = min(done, t.left-1)
	}
	for _, g := range t.open {
		if g.first > 0 {
			done = min(done, g.first-1)
		}
	}
	return done
}

// Flush tells of what is quiet or has waited long enough, in the order in which it came; of all, where all is set. What
// cannot be recorded is kept for the next time.
func (t *Transfers) Flush(ctx context.Context, all bool) error {
	for _, x := range t.due(all) {
		if err := t.tell(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

func (t *Transfers) due(all bool) []Exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.Now()
	var due []Exchange
	for x, g := range t.open {
		if all || now.Sub(g.last) >= t.Quiet || now.Sub(g.since) >= t.Longest || now.Before(g.since) {
			due = append(due, x)
		}
	}
	slices.SortFunc(due, func(a, b Exchange) int {
		return cmp.Or(t.open[a].at.Compare(t.open[b].at), cmp.Compare(a.Study, b.Study), cmp.Compare(a.Peer, b.Peer))
	})
	return due
}

// tell records an exchange as it is now; what comes while it is recorded begins another one.
func (t *Transfers) tell(ctx context.Context, x Exchange) error {
	t.mu.Lock()
	g := t.open[x]
	e := x.event(t.Self, g)
	n := g.n
	t.mu.Unlock()
	if err := t.Record(ctx, e); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if g.n == n {
		delete(t.open, x)
		return nil
	}
	for uid, told := range e.counts() { // more came meanwhile
		if g.counts[uid] -= told; g.counts[uid] == 0 {
			delete(g.counts, uid)
		}
	}
	g.n, g.since = g.n-n, t.Now() // its first stays: a transfer may be told of twice, and none is forgotten
	return nil
}

func (e Event) counts() map[string]int {
	for _, o := range e.Objects {
		if o.Kind == Study {
			return o.Counts
		}
	}
	return nil
}

// Beginning is what is recorded before the first of an exchange leaves (PS3.15 A.5.3.5).
func (x Exchange) Beginning(self string) Event {
	e := x.event(self, &gathered{})
	e.ID, e.Action = BeginTransferring, Execute
	return e
}

// event is the message: who sent, who received, the study with what of it, and the patient.
func (x Exchange) event(self string, g *gathered) Event {
	peer := Participant{ID: x.Peer, AETitle: x.AETitle, Address: x.Host, Requested: !x.Sent}
	ours := Participant{ID: "endogate", AETitle: self, Requested: x.Sent}
	e := Event{ID: x.Event, Action: Create, At: g.at}
	source, destination := &peer, &ours
	if x.Sent {
		e.Action, source, destination = Read, &ours, &peer
	}
	source.Role, destination.Role = Source, Destination
	e.Participants = []Participant{*source, *destination}
	if x.User != "" {
		e.Participants = append(e.Participants, Participant{ID: x.User, Requested: true})
	}
	if x.Failed != "" {
		e.Outcome, e.Why = Minor, x.Failed
	}
	study := Object{Kind: Study, ID: x.Study, Counts: map[string]int{}}
	for uid, n := range g.counts {
		study.Counts[uid] = n
	}
	if len(g.counts) == 0 && g.n > 0 {
		study.Detail = map[string]string{"Messages": fmt.Sprint(g.n)}
	}
	e.Objects = []Object{study, {Kind: Patient, ID: cmp.Or(x.Patient, "none")}}
	return e
}

// Refusal is a node that was not let in, or did not speak as is wanted (PS3.15 A.5.3.11).
type Refusal struct {
	AETitle string // as it says
	User    string // whom it says to be
	Host    netip.Addr
	Why     string
}

// Refusals gathers nodes that were not let in: the first time is told of with the next Flush, what follows of the same node once
// in a while. Its fields are set before use; its methods may be called from any goroutine.
type Refusals struct {
	Record func(context.Context, Event) error
	Again  time.Duration // until the same is told of again
	Now    func() time.Time

	mu   sync.Mutex
	seen map[Refusal]*repeated
}

type repeated struct {
	n    int
	told time.Time
}

// mostRefusals bounds what is gathered of nodes that come under many names; the rest is one.
const mostRefusals = 1000

// Add counts a refusal.
func (r *Refusals) Add(f Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[Refusal]*repeated{}
	}
	if r.seen[f] == nil && len(r.seen) >= mostRefusals {
		f = Refusal{Why: "more nodes than can be told apart"}
	}
	if r.seen[f] == nil {
		r.seen[f] = &repeated{}
	}
	r.seen[f].n++
}

// Flush tells of what is new, and of what was repeated for a while; of all, where all is set. What cannot be recorded is kept
// for the next time.
func (r *Refusals) Flush(ctx context.Context, all bool) error {
	var errs []error
	for f, n := range r.due(all) {
		if err := r.Record(ctx, f.event(n)); err != nil {
			errs = append(errs, err)
			continue
		}
		r.mu.Lock()
		r.seen[f].n -= n
		r.seen[f].told = r.Now()
		r.mu.Unlock()
	}
	return errors.Join(errs...)
}

func (r *Refusals) due(all bool) map[Refusal]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	due := map[Refusal]int{}
	for f, s := range r.seen {
		over := s.told.IsZero() || now.Sub(s.told) >= r.Again || now.Before(s.told)
		switch {
		case s.n > 0 && (over || all):
			due[f] = s.n
		case s.n == 0 && over:
			delete(r.seen, f)
		}
	}
	return due
}

func (f Refusal) event(n int) Event {
	node := f.Host.Unmap().WithZone("").String()
	if !f.Host.IsValid() {
		node = "several"
	}
	e := Event{
		ID: SecurityAlert, Type: NodeAuthentication, Action: Execute, Outcome: Minor, Why: f.Why,
		Participants: []Participant{
			{ID: "endogate", Role: Application},
			{ID: cmp.Or(f.AETitle, node), AETitle: f.AETitle, Requested: true, Address: f.Host},
		},
		Objects: []Object{{Kind: Node, ID: node, Detail: map[string]string{"Alert Description": f.Why, "Times": fmt.Sprint(n)}}},
	}
	if f.User != "" {
		e.Participants = append(e.Participants, Participant{ID: f.User, Requested: true})
	}
	return e
}
