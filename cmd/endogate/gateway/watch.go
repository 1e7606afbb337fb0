package gateway

import (
	"context"
	"strings"
	"time"
)

const (
	checkAtStart = 10 * time.Second // how long a start waits for the check of the ledger: what is left of it is done after
	lookEvery    = 5 * time.Second  // while the ledger is in trouble
	nightAt      = 3                // o'clock, local time: when all of the ledger is checked
)

// soundAtStart is an error where the ledger is damaged: it must not decide what the spool may forget. Every page of a ledger of
// usual size is looked at, and all that hangs together; what a large one has no time for is done while the gateway runs.
func (g *parts) soundAtStart(ctx context.Context) error {
	short, done := context.WithTimeout(ctx, checkAtStart)
	defer done()
	_, err := g.ledger.CheckQuickly(short)
	if err == nil {
		_, err = g.ledger.Check(short)
	}
	switch {
	case g.ledger.Trouble() != nil:
		return g.ledger.Trouble()
	case ctx.Err() == nil && short.Err() != nil:
		g.checkOn = true
		return nil
	}
	return err
}

// watchLedger tells of the ledger's trouble when it begins and when it ends, gets the ledger out of what has passed, and
// checks all of it at night.
func (g *parts) watchLedger(ctx context.Context) error {
	var told error
	night := nextNight(g.now())
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
			g.wakeAgain()
			g.wakeOutbox()
		}
		if now := g.now(); told == nil && (g.checkOn || !now.Before(night)) || now.Before(night.Add(-25*time.Hour)) {
			g.checkOn, night = false, nextNight(now)
			g.checkLedger(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-tick.C:
		}
	}
	return nil
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
