package outbox

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"endogate/dicomnode/ledger"
)

const (
	batch       = 64                   // deliveries read from the ledger at once
	batchAsked  = 10_000               // as many, when all are to be tried now
	ahead       = 366 * 24 * time.Hour // further off than any delivery is deferred
	longestHold = 7 * 24 * time.Hour   // at most, until a peer is to commit to what it has taken
	ledgerPause = 5 * time.Second      // after an error of the ledger
	defaultIdle = 20 * time.Second     // PACS drop an association that stands still for 30 s or more
	defaultPoll = 5 * time.Second
)

// Queue is what the outbox needs of the ledger.
type Queue interface {
	DueDeliveries(ctx context.Context, destination string, now time.Time, longest time.Duration, limit int) ([]ledger.Delivery, error)
	NextDelivery(ctx context.Context, destination string) (time.Time, bool, error)
	Waiting(ctx context.Context, destination string) (int, error)
	IsDue(ctx context.Context, id int64) (bool, error)
	Delivered(ctx context.Context, id int64, usedEntry string, answer ledger.Answer, at time.Time) error
	Sent(ctx context.Context, id int64, usedEntry string, until time.Time, answer ledger.Answer, at time.Time) error
	Uncommitted(ctx context.Context, destination string, now time.Time, longest time.Duration) (int, error)
	Defer(ctx context.Context, id int64, why ledger.Deferral, at time.Time) error
	Park(ctx context.Context, id int64, answer ledger.Answer, reason string, at time.Time) error
}

// Message is what is to be handed over.
type Message struct {
	Kind    string // what it is: ledger.KindDICOM
	Entry   string // in the spool
	Purpose string // source, heatmap, sr, kos

	// Patience is how long the peer may be silent on it, and the sender adds what its size takes: others wait behind. 0: as
	// long as the sender likes.
	Patience time.Duration
}

// keepRate is what a peer keeps at least of what it was sent, in bytes a second, before it answers.
const keepRate = 4 << 20

// patience is how long the answer to m of size bytes may take.
func (m Message) patience(size int64) time.Duration {
	if m.Patience <= 0 {
		return 0
	}
	return m.Patience + time.Duration(size/keepRate)*time.Second
}

// Sender hands messages to one destination, in its protocol. Its methods are called by one goroutine at a time.
type Sender interface {
	// Send hands m over and returns when the peer has answered, or will not. When ctx ends before, the outcome is
	// no failure of the peer, and not counted.
	Send(ctx context.Context, m Message) Outcome
	// Rest gives up what is held open between messages. The next Send opens it again.
	Rest(ctx context.Context) error
}

// Outbox runs the deliveries of all destinations. Its fields are set before Run and not changed after.
type Outbox struct {
	Queue   Queue
	Senders map[string]Sender // by destination
	Backoff Backoff
	Idle    time.Duration // without work, after which a sender rests; 20 s by default
	Poll    time.Duration // between looks at the ledger when nobody calls Wake; 5 s by default
	// Drain is how long an attempt under way may still take when Run is to end; 5 s by default. Cut off before the answer,
	// it has to be made again, and what the peer took arrives twice.
	Drain time.Duration
	// Timeout is how long an answer is waited for at most; 120 s by default. The first time it is less: see Message.Patience.
	Timeout time.Duration
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	Jitter  func() float64   // in [0,1); nil is a random number

	// Sent is told the fate of every attempt; it may be nil.
	Sent func(destination string, fate Fate, took time.Duration)
	// Handed is told what became of a delivery whose fate is known; it may be nil.
	Handed func(ctx context.Context, destination string, d ledger.Delivery, fate Fate)
	// Lost is called for an entry whose bytes are gone, after its delivery is parked; it may be nil.
	Lost func(ctx context.Context, entry string) error

	once    sync.Once
	workers map[string]*worker
}

// Fate is what an attempt has made of its delivery.
type Fate string

// The fates.
const (
	FateDelivered Fate = "delivered"
	FateWarning   Fate = "warning"   // delivered, and the peer had something to say
	FateAlternate Fate = "alternate" // delivered as the alternate object
	FateSent      Fate = "sent"      // to be committed
	FateDeferred  Fate = "deferred"
	FateDown      Fate = "down"
	FateParked    Fate = "parked"
)

// Condition is how a destination fares.
type Condition struct {
	Up     bool
	Since  time.Time // of the last change; zero before the first attempt
	Reason string    // why it is not up
	NextAt time.Time // when it is tried again
}

// Run delivers until ctx is done, and then returns why it is. What is on its way then has Drain to be
// answered; what is not is sent again by the next Run.
func (o *Outbox) Run(ctx context.Context) error {
	o.prepare()
	var wg sync.WaitGroup
	for _, w := range o.workers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	<-ctx.Done() // also without destinations
	return context.Cause(ctx)
}

func (o *Outbox) prepare() {
	o.once.Do(func() {
		o.workers = make(map[string]*worker, len(o.Senders))
		for name, sender := range o.Senders {
			o.workers[name] = newWorker(o, name, sender)
		}
	})
}

// Wake makes the worker of destination look at the ledger now. While the destination is down it changes nothing.
func (o *Outbox) Wake(destination string) {
	o.prepare()
	if w, ok := o.workers[destination]; ok {
		w.signal(w.wake)
	}
}

// Retry has everything that is pending for destination tried now, once: also what is deferred, and also when the
// destination was down a moment ago. If it still is, the waits begin with the shortest again.
func (o *Outbox) Retry(destination string) {
	o.prepare()
	if w, ok := o.workers[destination]; ok {
		w.ask()
	}
}

// Condition returns how destination fares, false when there is none of that name.
func (o *Outbox) Condition(destination string) (Condition, bool) {
	o.prepare()
	w, ok := o.workers[destination]
	if !ok {
		return Condition{}, false
	}
	return w.state(), true
}

// defaultDrain is a few times what an archive takes to answer.
const defaultDrain = 5 * time.Second

// defaultTimeout is a little more than what the slowest archive was seen to take.
const defaultTimeout = 120 * time.Second

func (o *Outbox) timeout() time.Duration { return cmp.Or(o.Timeout, defaultTimeout) }

func (o *Outbox) drain() time.Duration { return cmp.Or(o.Drain, defaultDrain) }

func (o *Outbox) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

func (o *Outbox) jitter() float64 {
	if o.Jitter != nil {
		return o.Jitter()
	}
	return rand.Float64()
}
