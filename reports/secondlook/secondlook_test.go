package secondlook

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/reading"
)

var (
	polyp  = dicom.Code{Value: "68496003", Scheme: "SCT"}
	normal = dicom.Code{Value: "17621005", Scheme: "SCT"}
)

func exam(probabilities ...float64) Exam {
	e := Exam{Route: "endoscopy"}
	for _, p := range probabilities {
		r := ledger.ExamResult{MadeBy: analysis.Model{Name: "demo", Version: "1"}, Results: []analysis.Result{{Span: analysis.Still(1)}}}
		if p >= 0.5 {
			r.Results[0].Findings = []analysis.Finding{{Class: "polyp", Probability: p, Threshold: 0.5, Finding: polyp}, {Class: "normal", Probability: 0.9, Threshold: 0.5, Finding: normal}}
		}
		e.Results = append(e.Results, r)
	}
	return e
}

// boxes is an exam of one frame in which a detector has so many boxes.
func boxes(n int) Exam {
	e := exam(0.9)
	for i := range n - 1 {
		e.Results[0].Results[0].Findings = append(e.Results[0].Results[0].Findings, analysis.Finding{Class: "polyp", Probability: 0.8, Threshold: 0.5, Finding: polyp, Outline: analysis.NetworkBox, Number: i + 2})
	}
	return e
}

// TestCompare is the matrix: what the report says, and whether the network sees it on enough frames.
func TestCompare(t *testing.T) {
	classes := []Class{{Name: "polyp", Finding: polyp}, {Name: "normal", Finding: normal}}
	for _, row := range []struct {
		status string
		exam   Exam
		want   string
	}{
		{"negated", exam(0.9, 0.8, 0.1), Missed},
		{"", exam(0.9, 0.8), NotMentioned},
		{"historical", exam(0.9, 0.8), NotMentioned},
		{"family", exam(0.9, 0.8), NotMentioned},
		{"uncertain", exam(0.9, 0.8), Doubted},
		{"uncertain", exam(0.1), Doubted},
		{"positive", exam(0.9, 0.8), Agree},
		{"positive", exam(0.9, 0.1), NotSeen},
		{"negated", exam(0.9), Agree},
		{"", exam(0.1), Agree},
		{"negated", boxes(3), Agree}, // on one frame
		{"negated", Exam{}, ""},
		{"negated", Exam{Results: []ledger.ExamResult{{Failed: "x"}}}, ""},
	} {
		report := ledger.ReportReading{Entry: "m1", Findings: []ledger.ReportFinding{{Finding: "ulcer", Status: "positive"}}}
		if row.status != "" {
			report.Findings = append(report.Findings, ledger.ReportFinding{Finding: "polyp", Status: row.status, Sentence: "s"})
		}
		got := Compare(report, row.exam, classes, reading.Default(), Policy{Frames: 2})
		if row.want == "" {
			require.Empty(t, got)
			continue
		}
		require.Len(t, got, 1, "what a network has no class of is not compared")
		require.Equal(t, row.want, got[0].Kind, "%s", row.status)
		require.Equal(t, row.want == Agree, got[0].State == ledger.ReviewAgreed)
		require.Equal(t, "demo", got[0].Model)
	}
}

func TestFinal(t *testing.T) {
	of := func(entry, status, polyp string) ledger.ReportReading {
		return ledger.ReportReading{Entry: entry, Status: status, Findings: []ledger.ReportFinding{{Finding: "polyp", Status: polyp}}}
	}
	got, ok := Final([]ledger.ReportReading{of("p", "P", "positive"), of("b", "C", "negated"), of("b", "F", "uncertain"), of("a", "F", "positive")})
	require.True(t, ok)
	require.Equal(t, "uncertain", got.Findings[0].Status)
	got, ok = Final([]ledger.ReportReading{of("b", "X", "positive"), of("b", "F", "negated"), of("b", "P", "positive"), of("a", "F", "positive")})
	require.True(t, ok)
	require.Equal(t, "negated", got.Findings[0].Status, "what is withdrawn or preliminary of it does not count")
	_, ok = Final([]ledger.ReportReading{of("a", "A", "positive")})
	require.False(t, ok, "some results are still to come")
	_, ok = Final([]ledger.ReportReading{of("x", "X", ""), of("a", "F", "positive")})
	require.False(t, ok)
	_, ok = Final([]ledger.ReportReading{of("p", "P", "positive")})
	require.False(t, ok)
}

// kept is a ledger of one study with a report, and the exams given.
type kept struct {
	Ledger
	exams   []ledger.Exam
	put     ledger.Look
	reviews []ledger.Review
}

func (k *kept) DueLooks(context.Context, int) ([]ledger.Look, error) {
	return []ledger.Look{{Study: "1.2", Version: 3}}, nil
}

func (k *kept) ReadingsOf(context.Context, dicom.UID, int) ([]ledger.ReportReading, error) {
	return []ledger.ReportReading{{Status: "F"}}, nil
}

func (k *kept) GateOf(context.Context, dicom.UID) (ledger.GateState, error) {
	return ledger.GateState{}, ledger.ErrNotFound
}

func (k *kept) ExamsOf(context.Context, dicom.UID) ([]ledger.Exam, error) { return k.exams, nil }

func (k *kept) ExamResults(context.Context, ledger.Exam) ([]ledger.ExamResult, error) {
	return exam(0.9, 0.9, 0.9, 0.9).Results, nil
}

func (k *kept) PutReviews(_ context.Context, l ledger.Look, reviews []ledger.Review, _ time.Time) error {
	k.put, k.reviews = l, reviews
	return nil
}

// TestLooker_examsThatWait: what is not compared because its results are not all there is named, so that what was said of it stands.
func TestLooker_examsThatWait(t *testing.T) {
	k := &kept{exams: []ledger.Exam{{Route: "endoscopy", Model: "demo", Revision: 1}, {Route: "endoscopy", Model: "bulk", Revision: 1, OpenJobs: 2}, {Route: "other", Model: "demo"}}}
	o, err := reading.Load("")
	require.NoError(t, err)
	looker := Looker{
		Ledger: k, Ontology: o, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Classes: func(string) []Class { return []Class{{Name: "polyp", Finding: polyp}} },
	}
	require.NoError(t, looker.round(t.Context()))
	require.Equal(t, ledger.Look{Study: "1.2", Version: 3, Waits: []ledger.Uncompared{{Route: "endoscopy", Model: "bulk"}, {Route: "other", Model: "demo"}}}, k.put)
	require.NotEmpty(t, k.reviews)
}

// TestFinal_reporter: a report is of who wrote it, and of nobody where its parts name several.
func TestFinal_reporter(t *testing.T) {
	anna, other := ledger.Physician{Identifier: ledger.Identifier{ID: "4711"}, Name: "Meier^Anna"}, ledger.Physician{Name: "Other^One"}
	for _, tt := range []struct {
		name  string
		parts []ledger.Physician
		want  ledger.Physician
	}{
		{"one", []ledger.Physician{anna}, anna},
		{"written otherwise", []ledger.Physician{anna, {Identifier: anna.Identifier, Name: "MEIER"}}, anna},
		{"a part that names nobody", []ledger.Physician{{}, other, {}}, other},
		{"several", []ledger.Physician{anna, other, anna}, ledger.Physician{}},
		{"names that differ", []ledger.Physician{other, {Name: "Other^Two"}}, ledger.Physician{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all := []ledger.ReportReading{}
			for _, by := range tt.parts {
				all = append(all, ledger.ReportReading{Entry: "b", Status: "F", Reporter: by})
			}
			got, ok := Final(append(all, ledger.ReportReading{Entry: "a", Status: "F", Reporter: ledger.Physician{Name: "Before"}}))
			require.True(t, ok)
			require.Equal(t, tt.want, got.Reporter)
		})
	}
}
