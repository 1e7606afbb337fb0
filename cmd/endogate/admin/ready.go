package admin

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// probeTime is how long whoever asks waits for one check.
	probeTime = 2 * time.Second
	// probePatience is how long one check may take before it counts as failed where the last one held: slow is not unready. It is less
	// than modalities wait for the answer to a C-STORE, half a minute and more, and several writes may be in it.
	probePatience = 10 * time.Second
	// watchEvery is how often the checks are made for the log where nobody asks.
	watchEvery = 10 * time.Second
)

// CheckResult is the outcome of one Check.
type CheckResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason"` // empty when OK
}

// prober runs checks. One is made once at a time, however many ask, and no more often than it wants to be. A check that
// hangs (a dead network disk) is reported and not started a second time.
type prober struct {
	checks   []Check
	timeout  time.Duration // that a question waits
	patience time.Duration // that a check may take
	wg       sync.WaitGroup

	mu     sync.Mutex
	probes map[string]*probe // the last of each check, or the one under way
	closed bool
}

// probe is one call of a check.
type probe struct {
	began time.Time
	held  bool          // the one before it
	done  chan struct{} // closed when it has ended, with err
	err   error
}

var (
	errStopping = errors.New("shutting down")
	errSlow     = errors.New("no answer in time: what it asks hangs or the machine is overloaded")
)

// run asks all checks at once and returns their results in order, at the latest after the timeout.
func (p *prober) run(ctx context.Context) (results []CheckResult, ready bool) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	under := make([]*probe, len(p.checks))
	for i, c := range p.checks {
		under[i] = p.start(ctx, c)
	}
	ready = true
	results = make([]CheckResult, len(p.checks))
	for i, c := range p.checks {
		results[i] = CheckResult{Name: c.Name}
		if err := p.await(ctx, under[i]); err != nil {
			results[i].Reason = err.Error()
			ready = ready && c.Advisory
			continue
		}
		results[i].OK = true
	}
	return results, ready
}

func (p *prober) await(ctx context.Context, under *probe) error {
	select {
	case <-under.done:
		return under.err
	default:
	}
	patience := p.timeout
	if under.held {
		patience = p.patience
	}
	if time.Since(under.began) > patience {
		return errors.New("an earlier probe still hangs since " + under.began.UTC().Format(time.RFC3339))
	}
	select {
	case <-under.done:
		return under.err
	case <-ctx.Done():
	}
	if time.Since(under.began) < patience && under.held {
		return nil
	}
	return errSlow
}

// start returns the probe of c that is under way, or the last one while it counts, or begins one in a goroutine of its own.
func (p *prober) start(ctx context.Context, c Check) *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.probes[c.Name]
	if last != nil {
		select {
		case <-last.done:
		default:
			return last
		}
		if time.Since(last.began) < c.Every {
			return last
		}
	}
	now := &probe{began: time.Now(), held: last != nil && last.err == nil, done: make(chan struct{})}
	if p.closed {
		now.err = errStopping
		close(now.done)
		return now
	}
	if p.probes == nil {
		p.probes = map[string]*probe{}
	}
	p.probes[c.Name] = now
	p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.patience) // whoever asked first may be gone
		defer cancel()
		now.err = c.Probe(ctx)
		close(now.done)
	})
	return now
}

// watch makes the checks until ctx is done, and has the log say once when the outcome of one changes. Reasons that have
// changed (a number in them) are no change.
func (p *prober) watch(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	failed := map[string]time.Time{}
	for {
		results, _ := p.run(ctx)
		if ctx.Err() != nil || p.stopping() {
			return
		}
		for i, r := range results {
			since, was := failed[r.Name]
			switch {
			case p.checks[i].Told:
			case !r.OK && !was && p.checks[i].Advisory:
				failed[r.Name] = time.Now()
				log.Warn("check fails: what depends on it waits", "check", r.Name, "reason", r.Reason)
			case !r.OK && !was:
				failed[r.Name] = time.Now()
				log.Error("not ready: nothing can be taken over", "check", r.Name, "reason", r.Reason)
			case r.OK && was:
				delete(failed, r.Name)
				log.Info("check holds again", "check", r.Name, "failed_for", time.Since(since).Round(time.Second))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (p *prober) stopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// close starts no further probe and waits for those under way, or for ctx.
func (p *prober) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { p.wg.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
