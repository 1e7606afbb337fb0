package ledger

import (
	"context"
	"fmt"
	"testing"

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
	all, err := l.Notices(t.Context(), study, 100)
	require.NoError(t, err)
	for _, n := range all {
		rules = append(rules, n.Rule+" "+n.Finding)
	}
	return rules
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
	l, ctx := openLedger(t), t.Context()
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
	l, ctx := openLedger(t), t.Context()
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
	waiting := func() int {
		due, err := l.DueDeliveries(ctx, "hook", at(9), 0, 10)
		require.NoError(t, err)
		return len(due)
	}
	put("1", "agreed", "agree")
	put("1", "open", "uncertain")
	require.Zero(t, waiting())
	put("1", "open", "missed")
	put("1", "open", "missed")
	put("2", "open", "missed")
	require.Equal(t, []string{"missed polyp"}, notices(t, l, study))
	require.Zero(t, waiting(), "the version that asked is not asked about any more")
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
