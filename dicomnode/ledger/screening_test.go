package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// TestScreening: a second look over a span of time goes through the studies that came in it, opens jobs for models that have not seen
// them, behind all others, has their reports compared again, and does nothing twice.
func TestScreening(t *testing.T) {
	j := &memoryJournal{}
	l, ctx := openLedger(t), t.Context()
	_, err := l.Keep(ctx, j)
	require.NoError(t, err)
	take(t, l, reportSays("r1", "No polyps."))
	for n, study := range []string{"1.2", "1.3", "1.4"} {
		r := receipt(n + 1)
		r.Header.StudyInstanceUID, r.At = dicom.UID(study), at(100*n)
		if study != "1.2" {
			r.Header.AccessionNumber = ""
		}
		receive(t, l, r)
	}
	look, err := l.DueLooks(ctx, 10)
	require.NoError(t, err)
	require.NoError(t, l.PutReviews(ctx, look[0], nil, at(300)))
	models := map[string][]string{"endoscopy": {"demo", "other"}}

	_, _, err = l.RunningScreening(ctx)
	require.ErrorIs(t, err, ErrNotFound)
	listed, _, err := l.Studies(ctx, StudyFilter{Limit: 9})
	require.NoError(t, err)
	name, err := l.StartScreening(ctx, Screening{Name: "abc", From: at(0), Before: at(200), Author: "Dr A", MadeAt: at(400)})
	require.NoError(t, err)
	again, err := l.StartScreening(ctx, Screening{Name: "def", From: at(0), Before: at(200), Author: "Dr B", MadeAt: at(401)})
	require.NoError(t, err)
	require.Equal(t, name, again, "one that runs over the same span is that one")

	var order []dicom.UID
	run := func(name string) Screening {
		for range 20 {
			study, err := l.NextScreened(ctx, name)
			require.NoError(t, err)
			step := ScreeningStep{Screening: name, Study: study, Over: true}
			if study != "" {
				order = append(order, study)
				all, err := l.Unseen(ctx, study, models)
				require.NoError(t, err)
				for _, u := range all {
					require.False(t, u.Released)
					var n int
					_, err := fmt.Sscanf(u.Entry, "entry%d", &n)
					require.NoError(t, err)
					r := receipt(n)
					r.Header.StudyInstanceUID, r.Models = study, models["endoscopy"]
					if study != "1.2" {
						r.Header.AccessionNumber = ""
					}
					step.Offers = append(step.Offers, r)
				}
				if study == "1.2" {
					step.Anew = []ReadAnew{
						{"messager1", []ReportReading{{Subject: Subject{Accession: "A1"}, Status: "F", Ontology: "new", Findings: []ReportFinding{{Finding: "polyp", Status: "positive", Sentence: "No polyps."}}}}},
						{"messager1", nil}, // not as many as there were: they stay as they are
						{"elsewhere", []ReportReading{{Status: "F"}}},
					}
				}
			}
			require.NoError(t, l.StepScreening(ctx, step, at(500)))
			if study == "" {
				break
			}
		}
		s, err := l.Screening(ctx, name)
		require.NoError(t, err)
		return s
	}
	s := run("abc")
	require.Equal(t, []dicom.UID{"1.2", "1.3"}, order, "not what came later")
	require.Equal(t, Screening{
		Name: "abc", From: at(0), Before: at(200), State: ScreeningDone, Author: "Dr A", MadeAt: at(400), EndedAt: at(500), Of: 2, Studies: 2, Compared: 1, Reread: 1, Offered: 2, Open: 2,
	}, s)
	readings, err := l.ReadingsOf(ctx, "1.2", 5)
	require.NoError(t, err)
	require.Len(t, readings, 1)
	require.Equal(t, "new", readings[0].Ontology)
	after, _, err := l.Studies(ctx, StudyFilter{Limit: 9})
	require.NoError(t, err)
	require.Len(t, after, len(listed))
	for i, was := range listed {
		require.Equal(t, []any{was.StudyInstanceUID, was.FirstAt, was.LastAt}, []any{after[i].StudyInstanceUID, after[i].FirstAt, after[i].LastAt}, "none is newer than it was")
	}
	due, err := l.DueLooks(ctx, 10)
	require.NoError(t, err)
	require.Len(t, due, 1, "it is compared again")
	lines, err := l.Lines(ctx)
	require.NoError(t, err)
	require.Len(t, lines, 2)
	require.Equal(t, "other\nROUTINE\nsecond look abc", lines[1].Name)
	jobs, err := l.JobsInLine(ctx, lines[1].Name, "", 9)
	require.NoError(t, err)
	require.Len(t, jobs, 2)
	require.True(t, jobs[0].Bulk)
	ages, err := l.Ages(ctx, nil)
	require.NoError(t, err)
	require.NotContains(t, ages.Jobs, "other", "nobody waits for them")
	require.NoError(t, l.ParkJob(ctx, jobs[0].ID, "it ends the process", at(501)))
	require.NoError(t, l.RetryJob(ctx, jobs[0].ID, at(502)))
	back, err := l.Job(ctx, jobs[0].ID)
	require.NoError(t, err)
	require.True(t, back.Bulk, "also when it is tried again")
	require.NoError(t, l.ParkJob(ctx, jobs[0].ID, "it ends the process", at(503)))
	require.ErrorIs(t, l.StepScreening(ctx, ScreeningStep{Screening: "abc"}, at(504)), ErrState)
	require.ErrorIs(t, l.CancelScreening(ctx, "abc", at(504)), ErrState)
	require.ErrorIs(t, l.CancelScreening(ctx, "none", at(504)), ErrNotFound)

	_, err = l.StartScreening(ctx, Screening{Name: "def", From: at(0), Before: at(200), Author: "Dr B", MadeAt: at(600)})
	require.NoError(t, err)
	twice := run("def")
	require.Zero(t, twice.Offered, "a second run makes nothing twice")
	require.Equal(t, 2, twice.Studies)
	_, err = l.StartScreening(ctx, Screening{Name: "ghi", From: at(0), Before: at(900), MadeAt: at(601)})
	require.NoError(t, err)
	running, open, err := l.RunningScreening(ctx)
	require.NoError(t, err)
	require.Equal(t, []any{"ghi", 0}, []any{running, open})
	require.NoError(t, l.StepScreening(ctx, ScreeningStep{Screening: "ghi", Study: "1.2"}, at(601)))
	next, err := l.NextScreened(ctx, "ghi")
	require.NoError(t, err)
	require.Equal(t, dicom.UID("1.3"), next, "a step that brings no job is the last of its study")
	require.NoError(t, l.CancelScreening(ctx, "ghi", at(602)))
	require.ErrorIs(t, l.StepScreening(ctx, ScreeningStep{Screening: "ghi", Study: "1.2"}, at(603)), ErrState)
	page, total, err := l.Screenings(ctx, "", Page{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, 3, total)
	require.Equal(t, []string{"ghi", "def"}, []string{page[0].Name, page[1].Name})
	rest, _, err := l.Screenings(ctx, "def", Page{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, 1, rest[0].Failed)
	require.Equal(t, 1, rest[0].Open)

	problems, err := l.Check(ctx)
	require.NoError(t, err)
	require.Empty(t, problems, "the counters of its jobs")
	want := dump(t, l)
	anew, _ := keep(t, t.TempDir()+"/ledger.db", j)
	require.Equal(t, want, dump(t, anew), "a ledger made anew of the journal has the same")
	requireTally(t, anew)
}

// TestScreening_deliveries: what is made for a second look waits for its destination among its own: results of today of the same room go
// between them, and what comes after it of the same examination is today's again. How much waits is known, to a bound.
func TestScreening_deliveries(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	old, today := receipt(1), receipt(2)
	today.Header.StudyInstanceUID, today.Header.AccessionNumber = "1.3", ""
	receive(t, l, old, today)
	require.NoError(t, l.FinishJob(ctx, JobID("entry001", "demo"), testModel, nil, nil, at(1)))
	_, err := l.StartScreening(ctx, Screening{Name: "abc", From: at(0), Before: at(900), MadeAt: at(2)})
	require.NoError(t, err)
	offer := receipt(1)
	offer.Models = []string{"demo", "other"}
	require.NoError(t, l.StepScreening(ctx, ScreeningStep{Screening: "abc", Study: "1.2", Offers: []Receipt{offer}}, at(3)))
	var made []Object
	for n := range 6 {
		made = append(made, object(10+n, "pacs"))
	}
	require.NoError(t, l.FinishJob(ctx, JobID("entry001", "other"), testModel, nil, made[:4], at(4)))
	exams, err := l.ExamsOf(ctx, "1.2")
	require.NoError(t, err)
	require.Len(t, exams, 2)
	for i, e := range exams {
		e.Revision++
		require.NoError(t, l.FinishReport(ctx, e, made[4+i:5+i], at(5)), e.Model)
	}
	require.NoError(t, l.FinishJob(ctx, JobID("entry002", "demo"), testModel, nil, []Object{object(20, "pacs"), object(21, "pacs")}, at(6)))

	due, err := l.DueDeliveries(ctx, "pacs", at(7), time.Hour, 20)
	require.NoError(t, err)
	var entries []string
	for _, d := range due {
		entries = append(entries, d.Entry)
	}
	require.Len(t, entries, 8)
	report := map[string]string{"demo": "made014", "other": "made015"} // by the exams' order
	if exams[0].Model != "demo" {
		report = map[string]string{"demo": "made015", "other": "made014"}
	}
	require.ElementsMatch(t, []string{report["demo"], "made020", "made021"}, []string{entries[1], entries[3], entries[5]}, "of today, in turn: %v", entries)
	pending, err := l.ScreenedPending(ctx, "abc", []string{"pacs", "other"}, 100)
	require.NoError(t, err)
	require.Equal(t, 5, pending)
	pending, err = l.ScreenedPending(ctx, "abc", []string{"pacs"}, 3)
	require.NoError(t, err)
	require.Equal(t, 3, pending)
	pending, err = l.ScreenedPending(ctx, "abc", []string{"other"}, 3)
	require.NoError(t, err)
	require.Zero(t, pending)
}
