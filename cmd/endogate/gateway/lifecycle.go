package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// lifecycle starts the parts of the gateway and stops them in the reverse order: first all listeners at once, which take no
// more and finish what they have begun, then the loops, then the stores.
type lifecycle struct {
	asked   context.Context // done when the gateway is asked to stop
	running context.Context // the loops'; done after the listeners have ended, or when a part has failed
	fail    context.CancelCauseFunc

	loops     sync.WaitGroup
	under     sync.Map // names of the loops that run
	serving   sync.WaitGroup
	shutdowns []func(context.Context) error
	closers   []func() error
}

func newLifecycle(ctx context.Context) *lifecycle {
	l := &lifecycle{asked: ctx}
	l.running, l.fail = context.WithCancelCause(context.WithoutCancel(ctx))
	return l
}

// closes says how a part is closed once everything started after it has ended.
func (l *lifecycle) closes(f func() error) { l.closers = append(l.closers, f) }

// loop runs a part until the gateway stops.
func (l *lifecycle) loop(name string, run func(context.Context) error) {
	l.under.Store(name, true)
	l.loops.Go(func() {
		defer l.under.Delete(name)
		if err := run(l.running); err != nil && l.running.Err() == nil {
			l.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// serve runs a listener until it is shut down; an error other than closed stops the gateway.
func (l *lifecycle) serve(name string, serve func() error, shutdown func(context.Context) error, closed error) {
	l.shutdowns = append(l.shutdowns, shutdown)
	l.serving.Go(func() {
		if err := serve(); !errors.Is(err, closed) {
			l.fail(fmt.Errorf("%s: %w", name, err))
		}
	})
}

// wait returns when the gateway has stopped: nil if it was asked to.
func (l *lifecycle) wait(drain func() time.Duration) error {
	select {
	case <-l.asked.Done():
	case <-l.running.Done():
	}
	return l.stop(drain())
}

// errHangs: what is open stays as a crash would leave it, which the next start knows how to take up.
var errHangs = errors.New("stopped although a part did not end within drain")

// stop ends everything that was started, also after a start that failed half way. Listeners have half of drain to end what
// is under way, loops most of the rest; a part that hangs beyond it is left.
func (l *lifecycle) stop(drain time.Duration) error {
	until := time.NewTimer(drain)
	defer until.Stop()
	ctx, done := context.WithTimeout(context.WithoutCancel(l.asked), drain/2)
	defer done()
	errs := []error{context.Cause(l.running)} // nil unless a part has failed
	ended := make(chan error, len(l.shutdowns))
	for _, shutdown := range l.shutdowns { // together: none goes on while another drains
		go func() { ended <- shutdown(ctx) }()
	}
	for range l.shutdowns {
		select {
		case err := <-ended:
			errs = append(errs, err)
		case <-until.C:
			l.fail(nil)
			return errors.Join(append(errs, fmt.Errorf("%w: a listener", errHangs))...)
		}
	}
	l.serving.Wait()
	l.fail(nil)
	ran := make(chan struct{})
	go func() { l.loops.Wait(); close(ran) }()
	select {
	case <-ran:
	case <-until.C:
		var names []string
		l.under.Range(func(name, _ any) bool { names = append(names, name.(string)); return true })
		slices.Sort(names)
		return errors.Join(append(errs, fmt.Errorf("%w: %s", errHangs, strings.Join(names, ", ")))...)
	}
	for i := len(l.closers) - 1; i >= 0; i-- {
		errs = append(errs, l.closers[i]())
	}
	return errors.Join(errs...)
}
