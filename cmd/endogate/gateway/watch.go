package gateway

import (
	"context"
	"errors"
	"strings"
	"time"
)

const (
	lookEvery = 5 * time.Second // while the ledger is in trouble
	nightAt   = 3               // o'clock, local time: when all of the ledger is checked
)

// soundAtStart is an error where the ledger is damaged: it must not decide what the spool may forget. All of a small ledger is
// looked at. A large one is looked at where new rows go, so that a start does not take longer for what was ever received; every
// page of it is looked at while the gateway runs, and the spool forgets nothing before that has found nothing.
func (g *parts) soundAtStart(ctx context.Context) error {
	all, _, err := g.ledger.CheckAtStart(ctx)
	if trouble := g.ledger.Trouble(); trouble != nil {
		return trouble
	}
	if all {
		close(g.sound)
	}
	g.checkOn = !all
	return err
}

// lookedAt is an error while not every page of the ledger was looked at since the start.
func (g *parts) lookedAt(context.Context) error {
	select {
	case <-g.sound:
		return nil
	default:
		return errors.New("the ledger is being looked at since the start, which takes the longer the more it has: nothing is released from the spool before")
	}
}

// watchLedger tells of the ledger's trouble when it begins and when it ends, and gets the ledger out of what has passed.
func (g *parts) watchLedger(ctx context.Context) error {
	var told error
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		changed := g.ledger.Changed()
		g.ledger.Look(ctx)
		switch is := g.ledger.Trouble(); {
		case is != nil && (told == nil || told.Error() != is.Error()):
			told = is
			g.log.Error("nothing is taken over, analysed or delivered", "err", is)
		case is == nil && told != nil:
			told = nil
			g.log.Info("the ledger can be used again: work goes on")
			g.current().wakeAgain()
			g.current().wakeOutbox()
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-tick.C:
		}
	}
	return nil
}

// checkLedgers looks at all of the ledger that the start has not looked at, every page first, and at all of it at night.
func (g *parts) checkLedgers(ctx context.Context) error {
	night := nextNight(g.now())
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		now := g.now()
		switch {
		case g.ledger.Trouble() != nil || g.checkOn && !g.checkPages(ctx):
		case g.checkOn, !now.Before(night), now.Before(night.Add(-25 * time.Hour)):
			g.checkOn, night = false, nextNight(now)
			g.checkLedger(ctx)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// checkPages looks at every page of the ledger, and lets the spool forget where none is damaged.
func (g *parts) checkPages(ctx context.Context) bool {
	_, err := g.ledger.CheckQuickly(ctx)
	switch {
	case ctx.Err() != nil || g.ledger.Trouble() != nil:
		return false
	case err != nil:
		g.log.Warn("the ledger was not looked at: trying again", "err", err)
		return false
	}
	close(g.sound)
	return true
}

// checkLedger checks all of the ledger while it is used.
func (g *parts) checkLedger(ctx context.Context) {
	began := time.Now()
	problems, err := g.ledger.Check(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		g.log.Warn("the ledger was not checked: the next night again", "err", err)
	case len(problems) > 0:
		g.log.Error("the ledger is damaged", "problems", strings.Join(problems, "; "))
	default:
		g.log.Info("the ledger was checked and is sound", "took", time.Since(began).Round(time.Millisecond))
	}
}

// nextNight is the next time of the nightly check after now.
func nextNight(now time.Time) time.Time {
	local := now.Local()
	night := time.Date(local.Year(), local.Month(), local.Day(), nightAt, 0, 0, 0, local.Location())
	if !night.After(now) {
		night = night.AddDate(0, 0, 1)
	}
	return night
}
