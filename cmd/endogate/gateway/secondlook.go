package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/configs"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
	"endogate/reports/reading"
	"endogate/reports/secondlook"
)

// Ontology loads what reports of other systems are read with, in the configured language.
func Ontology(cfg configs.Reading) (*reading.Ontology, error) {
	if cfg.Ontology == "" { // known to be sound
		return reading.Default(), reading.Default().Speaks(cfg.Language)
	}
	o, err := reading.Load(cfg.Ontology)
	if err == nil {
		err = o.Speaks(cfg.Language)
	}
	return o, err
}

// openSecondLook makes what compares reports of other systems with what the models found.
func (g *generation) openSecondLook() error {
	o, err := Ontology(g.cfg.Reading)
	if err != nil {
		return err
	}
	g.looker = &secondlook.Looker{
		Ledger: g.ledger, Ontology: o, Policy: secondlook.Policy{Frames: g.cfg.Reading.Frames}, Now: g.now, Log: g.log,
		Classes: func(model string) (classes []secondlook.Class) {
			if m, ok := g.models.described(model); ok {
				for _, c := range m.Classes {
					classes = append(classes, secondlook.Class{Name: c.Name, Finding: c.Finding, Site: c.Site, Threshold: c.Threshold})
				}
			}
			return classes
		},
	}
	return nil
}

// readReport is what a report says, as the ledger keeps it; false where it cannot be read, which the log says: it is kept all the same,
// and compared with nothing.
func (g *generation) readReport(text string) (out ledger.ReportReading, ok bool) {
	if len(text) > reading.MaxText {
		g.log.Warn("second look: a report is too long to be read, and is compared with nothing", "bytes", len(text))
		return out, false
	}
	defer func() {
		if p := recover(); p != nil {
			g.log.Error("second look: a report could not be read, and is compared with nothing", "reason", failure.Reason(p), "stack", string(debug.Stack()))
			ok = false
		}
	}()
	r := g.looker.Ontology.Read(text, g.cfg.Reading.Language)
	out = ledger.ReportReading{Language: r.Language, Ontology: r.Ontology, Findings: []ledger.ReportFinding{}}
	for _, f := range r.Findings {
		said := ledger.ReportFinding{Finding: f.Finding, Status: string(f.Status), Sentence: cut(f.Sentence), Rule: f.Rule, Start: f.Span.Start, End: f.Span.End}
		if i := slices.IndexFunc(f.Mentions, func(m reading.Mention) bool { return m.Span == f.Span && m.Rule == f.Rule }); i >= 0 && said.Sentence == f.Sentence {
			for _, m := range f.Mentions[i].Marks(text) {
				said.Marks = append(said.Marks, ledger.Mark(m))
			}
		}
		out.Findings = append(out.Findings, said)
	}
	return out, true
}

// longestSentence is how much of a sentence is kept, in characters.
const longestSentence = 500

func cut(sentence string) string {
	if runes := []rune(sentence); len(runes) > longestSentence {
		return string(runes[:longestSentence]) + "…"
	}
	return sentence
}

// Reviews implements admin.Reviews.
func (v *views) Reviews(ctx context.Context, f ledger.ReviewFilter) ([]ledger.Review, int, error) {
	return v.ledger.Reviews(ctx, f)
}

// Review implements admin.Reviews.
func (v *views) Review(ctx context.Context, name string) (ledger.Review, error) {
	r, err := v.ledger.Review(ctx, name)
	return r, notFound(err)
}

// ReviewCounts implements admin.Reviews.
func (v *views) ReviewCounts(ctx context.Context, from, before time.Time) ([]ledger.ReviewCount, error) {
	return v.ledger.ReviewCounts(ctx, from, before)
}

// PhysicianCounts implements admin.Reviews.
func (v *views) PhysicianCounts(ctx context.Context, from, before time.Time) ([]ledger.ReviewCount, error) {
	if !v.byPhysician() {
		return nil, fmt.Errorf("%w: the configuration does not allow that misses are counted by reporting physician (reading.by_physician)", admin.ErrForbidden)
	}
	return v.ledger.PhysicianCounts(ctx, from, before)
}

// ByPhysician implements admin.Reviews.
func (v *views) ByPhysician() bool { return v.byPhysician() }

const reportersAtOnce = 500 // rows

// keepReporters removes who wrote what reports, where the configuration allows that no more.
func (g *generation) keepReporters(ctx context.Context) error {
	if g.cfg.Reading.ByPhysician {
		g.log.Warn("who writes a report is kept, and confirmed misses are counted by that: see docs/second-look.md for who has to agree", "key", "reading.by_physician")
		return nil
	}
	for removed := false; ; removed = true {
		more, err := g.ledger.ForgetReporters(ctx, reportersAtOnce, g.now())
		if err != nil || !more {
			if removed {
				g.log.Info("who wrote reports is not kept any more: removed from the ledger, and soon from the journal", "key", "reading.by_physician")
			}
			return err
		}
	}
}

// Decide implements admin.Reviews.
func (v *views) Decide(ctx context.Context, name string, state ledger.ReviewState, d ledger.ReviewDecision, by draft.Author) (ledger.Review, error) {
	d.Author, d.Unauthenticated = by.Name, by.Unauthenticated
	err := v.ledger.DecideReview(ledger.By(ctx, person(by)), name, state, d, v.now())
	var no *ledger.Refusal
	if errors.As(err, &no) {
		return ledger.Review{}, fmt.Errorf("%w: %s", admin.ErrRefused, no.Why)
	}
	if err != nil {
		return ledger.Review{}, notFound(err)
	}
	return v.Review(ctx, name)
}
