// Package secondlook holds reports of other systems against what networks found in the images of their study, and asks a person where they
// differ: a network sees a lesion that the report denies, or the other way round. It changes nothing of an examination, a report or a result.
package secondlook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/reading"
)

// The kinds of comparison: what the report says of a finding, and what the network does.
const (
	Missed       = "missed"        // the report denies it, the network sees it
	NotMentioned = "not-mentioned" // the report does not speak of it as of now, the network sees it
	Doubted      = "uncertain"     // the report is not sure
	NotSeen      = "not-seen"      // the report states it, the network does not see it
	Agree        = "agree"
)

// priorities of what a person is asked, the most urgent first.
var priorities = map[string]int{Missed: 1, NotMentioned: 2, Doubted: 3, NotSeen: 3, Agree: 9}

// Policy says when a network counts as seeing a finding.
type Policy struct {
	Frames int // on at least so many frames at or above the threshold of its class
}

// Class is a class of a model.
type Class struct {
	Name      string
	Finding   dicom.Code
	Site      dicom.Code
	Threshold float64
}

// Exam is what a version of a model found in a study.
type Exam struct {
	Route   string
	Results []ledger.ExamResult
}

// maxSources is how many frames a review names.
const maxSources = 5

// Compare holds a report against the results of an exam: a review for each finding of both the ontology and the model of which either says
// something. Results that a person took back do not count; without results there is no comparison.
func Compare(report ledger.ReportReading, exam Exam, classes []Class, o *reading.Ontology, p Policy) []ledger.Review {
	seen := map[string]*ledger.Review{}
	var order []string
	var by analysis.Model
	at := func(name string, code, site dicom.Code) *ledger.Review {
		finding := o.Finding(code, name)
		if finding == "" {
			return nil
		}
		if seen[finding] == nil {
			seen[finding] = &ledger.Review{Finding: finding, Class: name, Site: site, Route: exam.Route, Ontology: report.Language + " " + report.Ontology, Message: report.Entry, Reporter: report.Reporter, Sources: []ledger.ReviewFrame{}}
			order = append(order, finding)
		}
		return seen[finding]
	}
	for _, c := range classes {
		if r := at(c.Name, c.Finding, c.Site); r != nil && r.Threshold == 0 {
			r.Threshold = c.Threshold // where it sees nothing, too
		}
	}
	analysed := false
	for _, r := range exam.Results {
		if r.Failed != "" || r.Retracted != "" || len(r.Results) == 0 {
			continue
		}
		analysed, by = true, r.MadeBy
		for _, span := range r.Results {
			counted := map[*ledger.Review]bool{} // however many boxes and classes of a frame say so
			for _, f := range slices.SortedStableFunc(slices.Values(span.Findings), func(a, b analysis.Finding) int { return cmp.Compare(b.Probability, a.Probability) }) {
				review := at(f.Class, f.Finding, f.Site)
				if review == nil || f.Probability < f.Threshold || counted[review] {
					continue
				}
				counted[review] = true
				review.Frames += span.Span.Count
				if f.Probability > review.Probability {
					review.Threshold, review.Probability = f.Threshold, f.Probability
				}
				review.Sources = append(review.Sources, ledger.ReviewFrame{SOPInstanceUID: r.Instance.SOPInstanceUID, Frame: span.Span.First, Probability: f.Probability, Heatmap: f.Heatmap})
			}
		}
	}
	if !analysed {
		return nil
	}
	var out []ledger.Review
	for _, finding := range order {
		r := seen[finding]
		r.Report.Finding = finding
		if i := slices.IndexFunc(report.Findings, func(f ledger.ReportFinding) bool { return f.Finding == finding }); i >= 0 {
			r.Report = report.Findings[i]
		}
		slices.SortStableFunc(r.Sources, func(a, b ledger.ReviewFrame) int { return cmp.Compare(b.Probability, a.Probability) })
		r.Sources = r.Sources[:min(len(r.Sources), maxSources)]
		r.Kind = kindOf(reading.Status(r.Report.Status), r.Frames >= max(1, p.Frames))
		r.Priority, r.State, r.Model, r.ModelVersion = priorities[r.Kind], ledger.ReviewOpen, by.Name, by.Version
		if r.Kind == Agree {
			r.State = ledger.ReviewAgreed
		}
		out = append(out, *r)
	}
	return out
}

// kindOf is the matrix of what a report says and whether a network sees it.
func kindOf(s reading.Status, seen bool) string {
	switch {
	case s == reading.Uncertain:
		return Doubted
	case s == reading.Positive && !seen:
		return NotSeen
	case s == reading.Positive, !seen:
		return Agree
	case s == reading.Negated:
		return Missed
	}
	return NotMentioned
}

// Final picks the report that counts: the newest that is final or corrected (OBR-25, table 0123), unless a newer one was withdrawn. The
// final parts of an examination that come in one message count together; what of it is preliminary or withdrawn does not.
func Final(newestFirst []ledger.ReportReading) (out ledger.ReportReading, found bool) {
	over := false // a report is withdrawn, and nothing of the same message stands
	var by []ledger.Physician
	defer func() { out.Reporter = one(by) }()
	for _, r := range newestFirst {
		switch {
		case found && r.Entry != out.Entry, over && r.Entry != out.Entry:
			return out, found
		case r.Status == "X" && !found:
			out.Entry, over = r.Entry, true
		case r.Status != "F" && r.Status != "C":
		case !found:
			out, found, by = r, true, []ledger.Physician{r.Reporter}
			out.Findings = slices.Clone(r.Findings)
		default:
			out.Findings = together(out.Findings, r.Findings)
			by = append(by, r.Reporter)
		}
	}
	return out, found
}

// one is who wrote all parts of a report that name anybody. Of several, none can be counted for the whole.
func one(all []ledger.Physician) (by ledger.Physician) {
	for _, p := range all {
		switch {
		case p == (ledger.Physician{}):
		case by == (ledger.Physician{}):
			by = p
		case !by.Is(p):
			return ledger.Physician{}
		}
	}
	return by
}

// together is what two parts of a report say of each finding.
func together(all, more []ledger.ReportFinding) []ledger.ReportFinding {
	for _, f := range more {
		k := slices.IndexFunc(all, func(g ledger.ReportFinding) bool { return g.Finding == f.Finding })
		switch {
		case k < 0:
			all = append(all, f)
		case reading.Before(reading.Status(f.Status), reading.Status(all[k].Status)):
			all[k] = f
		}
	}
	return all
}

// Ledger is what a Looker needs of it.
type Ledger interface {
	DueLooks(ctx context.Context, limit int) ([]ledger.Look, error)
	ReadingsOf(ctx context.Context, study dicom.UID, limit int) ([]ledger.ReportReading, error)
	GateOf(ctx context.Context, study dicom.UID) (ledger.GateState, error)
	SamePerson(ctx context.Context, a, b ledger.Identifier) (bool, error)
	ExamsOf(ctx context.Context, study dicom.UID) ([]ledger.Exam, error)
	ExamResults(ctx context.Context, e ledger.Exam) ([]ledger.ExamResult, error)
	PutReviews(ctx context.Context, k ledger.Look, reviews []ledger.Review, at time.Time) error
}

// Looker compares what is due. Its fields are set before use.
type Looker struct {
	Ledger   Ledger
	Ontology *reading.Ontology
	Policy   Policy
	Classes  func(model string) []Class // none: a model that is configured no more
	Poll     time.Duration              // between looks when nobody calls Wake; 5 s by default
	Now      func() time.Time
	Log      *slog.Logger

	once sync.Once
	wake chan struct{}
}

const (
	defaultPoll = 5 * time.Second
	batch       = 20 // studies
	newest      = 40 // reports of a study
)

func (k *Looker) prepare() { k.once.Do(func() { k.wake = make(chan struct{}, 1) }) }

// Wake makes Run look now. It never waits.
func (k *Looker) Wake() {
	k.prepare()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run compares what is due until ctx is done.
func (k *Looker) Run(ctx context.Context) error {
	k.prepare()
	ticker := time.NewTicker(cmp.Or(k.Poll, defaultPoll))
	defer ticker.Stop()
	for {
		if err := k.round(ctx); err != nil && ctx.Err() == nil {
			k.Log.ErrorContext(ctx, "second look", "err", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		case <-k.wake:
		}
	}
}

func (k *Looker) round(ctx context.Context) error {
	due, err := k.Ledger.DueLooks(ctx, batch)
	for _, look := range due {
		reviews, waits, e := k.look(ctx, look.Study)
		look.Waits = waits
		if e == nil {
			e = k.Ledger.PutReviews(ctx, look, reviews, k.Now())
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("study %s: %w", look.Study, e))
		}
	}
	if len(due) == batch && err == nil {
		k.Wake() // there may be more
	}
	return err
}

// look compares a study's report with what each model found in it, and returns the exams that it leaves for later.
func (k *Looker) look(ctx context.Context, study dicom.UID) (out []ledger.Review, waits []ledger.Uncompared, err error) {
	all, err := k.Ledger.ReadingsOf(ctx, study, newest)
	if err != nil {
		return nil, nil, err
	}
	gate, err := k.Ledger.GateOf(ctx, study)
	if errors.Is(err, ledger.ErrNotFound) {
		err = nil // nobody has said whose it is
	}
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(r ledger.ReportReading) bool { // of another patient whose study has the accession number
		if gate.Patient.ID == "" || r.Patient.ID == "" || err != nil {
			return false
		}
		var same bool
		same, err = k.Ledger.SamePerson(ctx, r.Patient, gate.Patient)
		return !same
	})
	if err != nil {
		return nil, nil, err
	}
	report, ok := Final(all)
	if !ok {
		return nil, nil, nil
	}
	exams, err := k.Ledger.ExamsOf(ctx, study)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range exams {
		if e.Revision == 0 || e.OpenJobs > 0 {
			waits = append(waits, ledger.Uncompared{Route: e.Route, Model: e.Model})
			continue // it is due again when its report is made
		}
		results, err := k.Ledger.ExamResults(ctx, e)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, Compare(report, Exam{e.Route, results}, k.Classes(e.Model), k.Ontology, k.Policy)...)
	}
	return out, waits, nil
}
