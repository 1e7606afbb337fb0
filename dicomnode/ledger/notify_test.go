package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

// sees is what a model sees of a class in the only frame of an instance.
func sees(class string, probability float64) []analysis.Result {
	return []analysis.Result{{Span: analysis.Still(1), Findings: []analysis.Finding{{Class: class, Role: analysis.RoleFinding, Probability: probability, Threshold: 0.5}}}}
}

func notices(t *testing.T, l *Ledger, study dicom.UID) (rules []string) {
	all, err := query(t.Context(), l.readDB, func(rows *sql.Rows) (n Notice, err error) { return n, rows.Scan(jsonColumn{&n}) },
		"SELECT n.document FROM study s JOIN notice n ON n.study = s.id WHERE s.study_instance_uid = ? ORDER BY n.id", study)
	require.NoError(t, err)
	for _, n := range all {
		rules = append(rules, n.Rule+" "+n.Finding)
	}
	return rules
}

// journaled is a ledger that is the same when it is made anew of its journal, as the test leaves it.
func journaled(t *testing.T) *Ledger {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	t.Cleanup(func() {
		if t.Failed() {
			return
		}
		anew := reopen(t, filepath.Join(t.TempDir(), "anew.db"))
		_, err := anew.Keep(context.Background(), j)
		require.NoError(t, err)
		require.Equal(t, dump(t, l), dump(t, anew))
	})
	return l
}

var callAll = Notify{
	Urgent: []Urgency{{Class: "polyp", Threshold: 0.9, Frames: 2}},
	Rules: []NotifyRule{
		{Name: "oncall", On: OnUrgent, To: []string{"hook", "mail"}},
		{Name: "other", On: OnUrgent, Findings: []string{"cancer"}, To: []string{"hook"}},
		{Name: "missed", On: OnReview, Kinds: []string{"missed"}, To: []string{"hook"}},
	},
}

// TestNotice: a finding on enough frames tells whom the rules name, once, and with it the study goes before others; what is taken back
// takes back what was not sent, and the gate holds no notice.
func TestNotice(t *testing.T) {
	l, ctx := journaled(t), t.Context()
	require.NoError(t, l.SetNotify(ctx, callAll, at(0)))
	acted := l.writes.appended
	require.NoError(t, l.SetNotify(ctx, callAll, at(0)), "the same again")
	require.Equal(t, acted, l.writes.appended)
	receive(t, l, receipt(1), receipt(2), receipt(3), receipt(4))
	study := receipt(1).Header.StudyInstanceUID
	finish := func(n int, r []analysis.Result) {
		require.NoError(t, l.FinishJob(ctx, fmt.Sprintf("entry%03d.demo", n), testModel, r, nil, at(10+n)))
	}
	finish(1, sees("polyp", 0.95))
	finish(2, sees("polyp", 0.89))
	require.Empty(t, notices(t, l, study), "one frame is not enough")
	page, _, err := l.Studies(ctx, StudyFilter{})
	require.NoError(t, err)
	require.False(t, page[0].Urgent)
	finish(3, sees("polyp", 0.9))
	require.Equal(t, []string{"oncall polyp"}, notices(t, l, study))
	finish(4, sees("polyp", 0.99))
	require.Equal(t, []string{"oncall polyp"}, notices(t, l, study), "once")

	due, err := l.DueDeliveries(ctx, "hook", at(20), 0, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, KindNotice, due[0].Kind)
	n, err := l.Notice(ctx, due[0].Entry)
	require.NoError(t, err)
	require.Equal(t, Notice{
		ID: due[0].Entry, Rule: "oncall", On: OnUrgent, Study: study, Finding: "polyp", Route: "endoscopy", Model: testModel.Name, ModelVersion: testModel.Version,
		Probability: 0.95, Frames: 2, Received: at(1), At: at(13),
	}, n)
	page, _, err = l.Studies(ctx, StudyFilter{})
	require.NoError(t, err)
	require.True(t, page[0].Urgent)
	require.NoError(t, l.Delivered(ctx, due[0].ID, due[0].Entry, Answer{Protocol: "webhook", Code: "204"}, at(21)))

	_, err = l.Retract(By(ctx, person), Retraction{Model: testModel.Name, Reason: "wrong"}, at(22))
	require.NoError(t, err)
	mail, err := l.DueDeliveries(ctx, "mail", at(23), 0, 10)
	require.NoError(t, err)
	require.Empty(t, mail, "what was not sent is not")
	page, _, err = l.Studies(ctx, StudyFilter{})
	require.NoError(t, err)
	require.False(t, page[0].Urgent)
	_, err = l.Notice(ctx, "notice-no")
	require.ErrorIs(t, err, ErrNotFound)
}

// TestStudies_urgent: an urgent study stands before those of a day later, and not before later ones, on whatever page it comes.
func TestStudies_urgent(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	require.NoError(t, l.SetNotify(ctx, Notify{Urgent: []Urgency{{"polyp", 0.9, 1}}}, at(0)))
	for i, hours := range []int{0, 1, 23, 25, 48} {
		r := from("A", i+1, i+1)
		r.At = at(3600 * hours)
		receive(t, l, r)
	}
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, sees("polyp", 0.95), nil, at(5)))
	var order []string
	for after := (Cursor{}); ; {
		page, total, err := l.Studies(ctx, StudyFilter{Limit: 2, After: after})
		require.NoError(t, err)
		require.Equal(t, 5, total)
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			order = append(order, string(s.StudyInstanceUID))
			after = Cursor{At: s.StandsAt, ID: string(s.StudyInstanceUID)}
		}
	}
	require.Equal(t, []string{"1.2.5", "1.2.4", "1.2.1", "1.2.3", "1.2.2"}, order)
}

// TestNotice_reviews: a question that a person is asked is told of once, whatever model it comes from; what is decided before it is sent
// is not sent.
func TestNotice_reviews(t *testing.T) {
	l, ctx := journaled(t), t.Context()
	require.NoError(t, l.SetNotify(ctx, callAll, at(0)))
	receive(t, l, receipt(1))
	study := receipt(1).Header.StudyInstanceUID
	put := func(version, state string, kinds ...string) {
		var all []Review
		for _, kind := range kinds {
			all = append(all, Review{Finding: "polyp", Kind: kind, State: ReviewState(state), Model: "m", ModelVersion: version, Priority: 1})
		}
		require.NoError(t, l.PutReviews(ctx, Look{Study: study, Version: 1}, all, at(5)))
	}
	waiting := func() (versions []string) {
		due, err := l.DueDeliveries(ctx, "hook", at(9), 0, 10)
		require.NoError(t, err)
		for _, d := range due {
			n, err := l.Notice(ctx, d.Entry)
			require.NoError(t, err)
			versions = append(versions, n.ModelVersion)
		}
		return versions
	}
	put("1", "agreed", "agree")
	put("1", "open", "uncertain")
	require.Empty(t, waiting())
	put("1", "open", "missed")
	put("1", "open", "missed")
	put("2", "open", "missed")
	require.Equal(t, []string{"missed polyp"}, notices(t, l, study))
	require.Equal(t, []string{"2"}, waiting(), "the version that asks now is told of")
	put("1", "open", "missed")
	require.Equal(t, []string{"1"}, waiting())
	put("1", "agreed", "agree")
	require.Empty(t, waiting(), "nothing is to be decided any more")
	put("1", "open", "missed")
	require.Equal(t, []string{"1"}, waiting(), "it is asked again, and was never told of")

	all, _, err := l.Reviews(ctx, ReviewFilter{Study: study, State: ReviewOpen})
	require.NoError(t, err)
	both := []Review{{Finding: "polyp", Kind: "missed", State: ReviewOpen, Model: "m", ModelVersion: "1"}, {Finding: "polyp", Kind: "missed", State: ReviewOpen, Model: "m", ModelVersion: "2"}}
	require.NoError(t, l.PutReviews(ctx, Look{Study: study, Version: 1}, both, at(5)))
	require.NoError(t, l.DecideReview(By(ctx, person), all[0].Name, ReviewRejected, ReviewDecision{}, at(6)))
	require.Equal(t, []string{"2"}, waiting(), "the other version asks still")
	due, err := l.DueDeliveries(ctx, "hook", at(9), 0, 10)
	require.NoError(t, err)
	require.NoError(t, l.Discard(By(ctx, person), due[0].ID, at(7)))
	put("1", "agreed", "agree")
	put("2", "open", "missed")
	require.Empty(t, waiting(), "what a person discards is")

	more := callAll
	more.Rules = append(slices.Clone(more.Rules), NotifyRule{Name: "new", On: OnReview, To: []string{"hook"}})
	require.NoError(t, l.SetNotify(ctx, more, at(8)))
	put("2", "open", "missed")
	require.Empty(t, waiting(), "what was open before a rule was there is not told")
}

// TestNotice_retracted: what other results say too stays urgent and is told as theirs; what was taken back unsent and is found again is told.
func TestNotice_retracted(t *testing.T) {
	second := testModel
	second.Version = "2"
	other := analysis.Model{Name: "Other of the maker", Version: "7"}
	for name, test := range map[string]struct {
		second   analysis.Model
		job      string
		retract  Retraction
		told     string // version, of what is on its way
		retract2 Retraction
	}{
		"a version": {second, "entry002.demo", Retraction{Model: "demo", Version: testModel.Version}, "2", Retraction{Model: "demo"}},
		"a model":   {other, "entry001.other", Retraction{Model: "demo"}, "7", Retraction{Model: "other"}},
		"another":   {other, "entry001.other", Retraction{Model: "other"}, testModel.Version, Retraction{Model: "demo"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, ctx := journaled(t), By(t.Context(), person)
			rules := callAll
			rules.Urgent = []Urgency{{"polyp", 0.9, 1}}
			require.NoError(t, l.SetNotify(ctx, rules, at(0)))
			first := receipt(1)
			first.Models = []string{"demo", "other"}
			receive(t, l, first, receipt(2), receipt(3))
			waiting := func() (versions []string) {
				due, err := l.DueDeliveries(ctx, "hook", at(100), 0, 10)
				require.NoError(t, err)
				for _, d := range due {
					n, err := l.Notice(ctx, d.Entry)
					require.NoError(t, err)
					require.Equal(t, 1, n.Frames)
					versions = append(versions, n.ModelVersion)
				}
				return versions
			}
			urgent := func() bool {
				page, _, err := l.Studies(ctx, StudyFilter{})
				require.NoError(t, err)
				return page[0].Urgent
			}
			require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, sees("polyp", 0.95), nil, at(5)))
			require.NoError(t, l.FinishJob(ctx, test.job, test.second, sees("polyp", 0.97), nil, at(6)))
			test.retract.Reason, test.retract2.Reason = "wrong", "wrong"
			_, err := l.Retract(ctx, test.retract, at(7))
			require.NoError(t, err)
			require.True(t, urgent())
			require.Equal(t, []string{test.told}, waiting())
			_, err = l.Retract(ctx, test.retract2, at(8))
			require.NoError(t, err)
			require.False(t, urgent())
			require.Empty(t, waiting())
			require.NoError(t, l.FinishJob(ctx, "entry003.demo", testModel, sees("polyp", 0.99), nil, at(9)))
			require.True(t, urgent())
			require.Equal(t, []string{testModel.Version}, waiting(), "nobody was told")
		})
	}
}

// TestNotice_screened: nobody is told of what a second look over old studies brings to light, neither by comparing again nor by what models
// find then; what comes besides is told of.
func TestNotice_screened(t *testing.T) {
	l, ctx := journaled(t), t.Context()
	require.NoError(t, l.SetNotify(ctx, callAll, at(0)))
	take(t, l, reportSays("r1", "No polyps."))
	receive(t, l, receipt(1))
	put := func(findings ...string) {
		t.Helper()
		due, err := l.DueLooks(ctx, 10)
		require.NoError(t, err)
		require.Len(t, due, 1)
		var all []Review
		for _, f := range findings {
			all = append(all, Review{Finding: f, Kind: "missed", State: ReviewOpen, Model: "demo", ModelVersion: "1"})
		}
		require.NoError(t, l.PutReviews(ctx, due[0], all, at(300)))
	}
	_, err := l.StartScreening(ctx, Screening{Name: "abc", From: at(0), Before: at(200), MadeAt: at(400)})
	require.NoError(t, err)
	step := func(offers ...Receipt) {
		t.Helper()
		require.NoError(t, l.StepScreening(ctx, ScreeningStep{Screening: "abc", Study: "1.2", Over: true, Offers: offers}, at(500)))
	}
	step()
	put("came with the report")
	told := []string{"missed came with the report"}
	require.Equal(t, told, notices(t, l, "1.2"))
	step()
	put("came with the report", "by other words")
	require.Equal(t, told, notices(t, l, "1.2"))
	offer := receipt(1)
	offer.Models = []string{"demo", "other"}
	step(offer)
	put("came with the report", "by other words")
	require.NoError(t, l.FinishJob(ctx, "entry001.other", testModel, sees("polyp", 0.99), nil, at(600)))
	exams, err := l.DueExams(ctx, at(900), time.Second, time.Hour)
	require.NoError(t, err)
	require.Len(t, exams, 1)
	require.NoError(t, l.FinishReport(ctx, exams[0], nil, at(900)))
	put("came with the report", "by other words", "polyp")
	require.Equal(t, told, notices(t, l, "1.2"))
	take(t, l, reportSays("r2", "No polyps."))
	step()
	put("came with the report", "by other words", "polyp", "another")
	require.Equal(t, append(told, "missed another"), notices(t, l, "1.2"))
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, sees("ulcer", 0.99), nil, at(950)))
	exams, err = l.DueExams(ctx, at(2000), time.Second, time.Hour)
	require.NoError(t, err)
	require.NoError(t, l.FinishReport(ctx, exams[0], nil, at(2000)))
	put("came with the report", "by other words", "polyp", "another", "ulcer")
	require.Equal(t, append(told, "missed another", "missed ulcer"), notices(t, l, "1.2"))
}

// TestNotice_stat: what is made of an urgent study goes before others, and however much that is, others have a turn after every four.
func TestNotice_stat(t *testing.T) {
	l, n := openLedger(t), 0
	ctx := context.Background()
	require.NoError(t, l.SetNotify(ctx, Notify{Urgent: []Urgency{{"polyp", 0.9, 1}}}, at(0)))
	rapid.Check(t, func(t *rapid.T) {
		stat, routine := rapid.IntRange(1, 12).Draw(t, "stat"), rapid.IntRange(1, 12).Draw(t, "routine")
		pacs := fmt.Sprint("pacs", n)
		n += 2
		one := func(study int, class string, count int) {
			all := make([]Receipt, count)
			for i := range all {
				all[i] = from(fmt.Sprint("ROOM", study), study, 100*study+i)
				all[i].Forward = []string{pacs}
			}
			if _, err := l.Receive(ctx, all, 0); err != nil {
				t.Fatal(err)
			}
			if err := l.FinishJob(ctx, all[0].ID+".demo", testModel, sees(class, 0.95), nil, at(3)); err != nil {
				t.Fatal(err)
			}
		}
		one(n, "ulcer", routine)
		one(n+1, "polyp", stat)
		due, err := l.DueDeliveries(ctx, pacs, at(1_000_000), 0, 100)
		require.NoError(t, err)
		require.Len(t, due, stat+routine)
		seen := map[bool]int{}
		for i, d := range due {
			isStat := d.Instance.StudyInstanceUID == dicom.UID(fmt.Sprintf("1.2.%d", n+1))
			seen[isStat]++
			if i == 0 {
				require.True(t, isStat)
			}
			if seen[false] < routine {
				require.LessOrEqual(t, seen[true], 4*(seen[false]+1))
			}
			if seen[true] < stat {
				require.GreaterOrEqual(t, seen[true], 4*seen[false])
			}
		}
	})
}
