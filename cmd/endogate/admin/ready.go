package admin

import (
	"context"
	"errors"
	"sync"
	"time"
)

// probeTime is how long one check may take before it counts as failed.
const probeTime = 2 * time.Second

// CheckResult is the outcome of one Check.
type CheckResult struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason"` // empty when OK
}

// prober runs checks. A check that hangs (a dead network disk) is reported and not started a second time.
type prober struct {
	checks  []Check
	timeout time.Duration
	wg      sync.WaitGroup

	mu     sync.Mutex
	since  map[string]time.Time // start of the probes under way
	closed bool
}

// run asks all checks at once and returns their results in order, at the latest after the timeout.
func (p *prober) run(ctx context.Context) (results []CheckResult, ready bool) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	answers := make([]<-chan error, len(p.checks))
	for i, c := range p.checks {
		answers[i] = p.start(ctx, c)
	}
	ready = true
	results = make([]CheckResult, len(p.checks))
	for i, c := range p.checks {
		results[i] = CheckResult{Name: c.Name}
		if err := await(ctx, answers[i]); err != nil {
			results[i].Reason = err.Error()
			ready = ready && c.Advisory
			continue
		}
		results[i].OK = true
	}
	return results, ready
}

func await(ctx context.Context, answer <-chan error) error {
	select {
	case err := <-answer:
		return err
	default:
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errors.New("no answer in time: what it asks hangs or the machine is overloaded")
	}
}

// start probes c in a goroutine of its own; the channel receives exactly one error.
func (p *prober) start(ctx context.Context, c Check) <-chan error {
	answer := make(chan error, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		answer <- errors.New("shutting down")
		return answer
	}
	if since, busy := p.since[c.Name]; busy && time.Since(since) > p.timeout {
		answer <- errors.New("an earlier probe still hangs since " + since.UTC().Format(time.RFC3339))
		return answer
	}
	if p.since == nil {
		p.since = map[string]time.Time{}
	}
	if _, busy := p.since[c.Name]; !busy {
		p.since[c.Name] = time.Now()
	}
	p.wg.Go(func() {
		err := c.Probe(ctx)
		p.mu.Lock()
		delete(p.since, c.Name)
		p.mu.Unlock()
		answer <- err
	})
	return answer
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
