package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/reports/draft"
)

const (
	maxOffered    = 64  // jobs of second looks that are open at once
	maxPending    = 256 // results of second looks that wait for their destinations
	screenEvery   = 2 * time.Second
	screenPause   = 5 * time.Millisecond // between two studies, for whoever else writes the ledger
	readingsAgain = 200                  // of a study
)

// screen takes second looks over spans of time on, one after the other, until ctx is done. Each step is durable: a start goes on where it
// stood.
func (g *generation) screen(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, err := g.screenStep(ctx)
		if err != nil && ctx.Err() == nil && !ledger.IsTrouble(err) && !errors.Is(err, ledger.ErrState) {
			g.log.ErrorContext(ctx, "second look over a span of time: trying again", "err", err)
			wait = screenEvery
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// screenStep looks at a study, or offers a part of it, and says how long to wait for the next.
func (g *generation) screenStep(ctx context.Context) (time.Duration, error) {
	name, open, err := g.ledger.RunningScreening(ctx)
	if errors.Is(err, ledger.ErrNotFound) {
		return screenEvery, nil
	}
	if err != nil || open >= maxOffered {
		return screenEvery, err
	}
	var destinations []string
	for _, d := range g.cfg.Destinations {
		destinations = append(destinations, d.Name)
	}
	pending, err := g.ledger.ScreenedPending(ctx, name, destinations, maxPending)
	if err != nil || pending >= maxPending {
		return screenEvery, err
	}
	study, err := g.ledger.NextScreened(ctx, name)
	if err != nil {
		return screenEvery, err
	}
	step := ledger.ScreeningStep{Screening: name, Study: study}
	if study != "" {
		if err := g.offers(ctx, &step, maxOffered-open); err != nil {
			return screenEvery, err
		}
		if step.Anew, err = g.readAnew(ctx, study); err != nil {
			return screenEvery, err
		}
	}
	if err := g.ledger.StepScreening(ctx, step, g.now()); err != nil {
		return screenEvery, err
	}
	if len(step.Offers) > 0 {
		g.wakeWork()
	}
	if step.Over {
		g.looker.Wake()
	}
	return screenPause, nil
}

// offers are the instances of a study that a model of their route has not seen, at most so many jobs.
func (g *generation) offers(ctx context.Context, step *ledger.ScreeningStep, room int) error {
	models := map[string][]string{}
	for _, r := range g.follower.Router {
		models[r.Name] = r.Models
	}
	all, err := g.ledger.Unseen(ctx, step.Study, models)
	if err != nil {
		return err
	}
	step.Over = true
	for _, u := range all {
		if u.Released {
			step.Gone++
			continue
		}
		if room <= 0 {
			step.Over, step.Gone = false, 0 // the rest in another step
			return nil
		}
		r, err := g.follower.Offer(u.Entry)
		if err != nil {
			if !errors.Is(err, spool.ErrNotFound) {
				g.log.WarnContext(ctx, "second look: an instance cannot be read, and is passed over", "entry", u.Entry, "err", err)
			}
			step.Gone++
			continue
		}
		if r.Route != u.Route { // another route comes before its own by now: it stays with what it was given to
			continue
		}
		step.Offers, room = append(step.Offers, r), room-len(r.Models)
	}
	return nil
}

// readAnew reads a study's reports that were read with other words than those of today, as far as their messages are kept.
func (g *generation) readAnew(ctx context.Context, study dicom.UID) (out []ledger.ReadAnew, err error) {
	all, err := g.ledger.ReadingsOf(ctx, study, readingsAgain)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, r := range all {
		if seen[r.Entry] || slices.Contains(g.looker.Ontology.Versions(), r.Language+" "+r.Ontology) && (g.cfg.Reading.Language == "" || g.cfg.Reading.Language == r.Language) {
			continue
		}
		seen[r.Entry] = true
		host, message, err := g.messageOf(r.Entry)
		if err != nil { // it stays as it was read
			if !errors.Is(err, spool.ErrNotFound) {
				g.log.WarnContext(ctx, "second look: a report cannot be read anew", "entry", r.Entry, "err", err)
			}
			continue
		}
		if readings := g.receiver.ReadAgain(host, message); len(readings) > 0 {
			out = append(out, ledger.ReadAnew{Entry: r.Entry, Readings: readings})
		}
	}
	return out, nil
}

// messageOf is a message that is kept, and the host that sent it.
func (g *generation) messageOf(name string) (host netip.Addr, message []byte, err error) {
	entry, data, err := g.spool.Open(name)
	if err != nil {
		return host, nil, err
	}
	defer func() { _ = data.Close() }()
	if host, err = netip.ParseAddr(entry.RemoteAddr); err != nil {
		return host, nil, err
	}
	most := int64(g.cfg.HL7.MaxMessage)
	message, err = io.ReadAll(io.LimitReader(data, most+1))
	if err == nil && int64(len(message)) > most {
		err = errors.New("the message is larger than this gateway takes (hl7.max_message)")
	}
	return host, message, err
}

// Screenings implements admin.Screenings.
func (v *views) Screenings(ctx context.Context, after string, p admin.Page) ([]ledger.Screening, int, error) {
	return v.ledger.Screenings(ctx, after, ledger.Page(p))
}

// Screening implements admin.Screenings.
func (v *views) Screening(ctx context.Context, name string) (ledger.Screening, error) {
	s, err := v.ledger.Screening(ctx, name)
	return s, notFound(err)
}

// StartScreening implements admin.Screenings.
func (v *views) StartScreening(ctx context.Context, from, before time.Time, by draft.Author) (ledger.Screening, error) {
	s := ledger.Screening{Name: strings.ToLower(rand.Text()[:16]), From: from, Before: before, Author: by.Name, Unauthenticated: by.Unauthenticated, MadeAt: v.now()}
	name, err := v.ledger.StartScreening(ledger.By(ctx, person(by)), s)
	if err != nil {
		return ledger.Screening{}, err
	}
	return v.Screening(ctx, name)
}

// CancelScreening implements admin.Screenings.
func (v *views) CancelScreening(ctx context.Context, name string, by draft.Author) (ledger.Screening, error) {
	err := v.ledger.CancelScreening(ledger.By(ctx, person(by)), name, v.now())
	if errors.Is(err, ledger.ErrState) {
		return ledger.Screening{}, fmt.Errorf("%w: it has ended", admin.ErrRefused)
	}
	if err != nil {
		return ledger.Screening{}, notFound(err)
	}
	return v.Screening(ctx, name)
}
