package gateway

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/pixeldata"
	"endogate/dicomnode/spool"
)

// leftOutFor is how long what was not analysed is remembered when the gateway starts: what is older is history.
const leftOutFor = 30 * 24 * time.Hour

// takeUpLeftOut offers again what was not analysed for a lack that is mended since: a route, a model of it, a decoder, bounds
// that were too small, or because the version of the model that there was gave up. It is done
// once, at the start, since configuration and programs are read there, and only for what came within the longest wait for an
// examination: a report that was read does not change days later without a person. What is left as it is, is said.
func (g *generation) takeUpLeftOut(ctx context.Context) error {
	now := g.now()
	others, err := g.otherVersions(ctx)
	if err != nil {
		return err
	}
	decodes := g.decoding().Missing() == nil
	taken, old, gone := 0, 0, 0
	for o, err := range g.leftOut(ctx, now, others) {
		if err != nil {
			return err
		}
		mended := decodes && strings.Contains(o.Reason, pixeldata.ErrNoDecoder.Error()) || g.decoding().Bounds.Other(o.Reason) || slices.Contains(others, o.Model)
		if o.Reason == ledger.ModelNotConfigured[0]+o.Model+ledger.ModelNotConfigured[1] {
			_, mended = g.models.models[o.Model]
		}
		if o.Job == "" && !o.Released {
			if mended, err = g.follower.Applies(o.Entry); err != nil {
				return err
			}
		}
		switch {
		case !mended:
			continue
		case o.Released:
			gone++
			continue
		case o.Old:
			old++
			continue
		}
		if o.Job != "" {
			err = g.ledger.RetryJob(ctx, o.Job, now)
		} else {
			err = g.follower.TakeUp(ctx, o.Entry, now)
		}
		switch {
		case err == nil:
			taken++
		case errors.Is(err, ledger.ErrState), errors.Is(err, ledger.ErrNotFound), errors.Is(err, spool.ErrNotFound):
			gone++
		default:
			return err
		}
	}
	if taken+old+gone > 0 {
		g.log.Warn("instances that were not analysed can be by now: those that came lately are offered again; the others are analysed when they are sent again",
			"offered", taken, "older_than_max_wait", old, "bytes_gone", gone)
	}
	return g.ledger.SetModels(ctx, g.models.versions()) // at last: a start that is cut off does it again
}

// leftOutAtOnce is how many are read at a time, and leftOut are all.
const leftOutAtOnce = 1000

func (g *generation) leftOut(ctx context.Context, now time.Time, others []string) iter.Seq2[ledger.LeftOut, error] {
	return func(yield func(ledger.LeftOut, error) bool) {
		for after := int64(0); ; {
			some, err := g.ledger.LeftOut(ctx, now.Add(-g.cfg.Exam.MaxWait.Std()), now.Add(-leftOutFor), pixeldata.ErrTooMuch.Error(), others, after, leftOutAtOnce)
			if err != nil {
				yield(ledger.LeftOut{}, err)
				return
			}
			for _, o := range some {
				if after = o.After; !yield(o, nil) {
					return
				}
			}
			if len(some) == 0 {
				return
			}
		}
	}
}

// otherVersions are the models of which there is another version than at the last start, by name.
func (g *generation) otherVersions(ctx context.Context) (names []string, err error) {
	before, err := g.ledger.Models(ctx)
	for name, version := range g.models.versions() {
		if was, ok := before[name]; ok && was != version {
			names = append(names, name)
		}
	}
	return names, err
}

// versions are the version and digest of each model, by name.
func (m *Models) versions() map[string]string {
	all := map[string]string{}
	for _, b := range m.Bundles {
		made := b.Made()
		all[b.Name] = made.Version + " " + made.Digest
	}
	return all
}
