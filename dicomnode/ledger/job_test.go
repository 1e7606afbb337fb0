package ledger

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func done(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

const job1 = "entry001.demo"

// jobSteps are all the steps a job can be asked to make.
var jobSteps = map[string]func(l *Ledger, ctx context.Context) error{
	"start": func(l *Ledger, ctx context.Context) error { _, err := l.StartJob(ctx, job1, at(10)); return err },
	"finish": func(l *Ledger, ctx context.Context) error {
		return l.FinishJob(ctx, job1, testModel, frames(), []Object{object(1, "pacs")}, at(11))
	},
	"park":    func(l *Ledger, ctx context.Context) error { return l.ParkJob(ctx, job1, "cannot decode", at(12)) },
	"skip":    func(l *Ledger, ctx context.Context) error { return l.SkipJob(ctx, job1, "no decoder", at(12)) },
	"retry":   func(l *Ledger, ctx context.Context) error { return l.RetryJob(ctx, job1, at(13)) },
	"discard": func(l *Ledger, ctx context.Context) error { return l.DiscardJob(ctx, job1, at(14)) },
}

func TestJob_states(t *testing.T) {
	for _, c := range []struct {
		name     string
		before   []string
		step     string
		want     JobState
		instance InstanceState
		err      error
		changes  bool
	}{
		{"open", nil, "start", JobOpen, InstanceQueued, nil, true},
		{"open", nil, "finish", JobDone, InstanceAnalysed, nil, true},
		{"open", nil, "park", JobParked, InstanceFailed, nil, true},
		{"open", nil, "retry", JobOpen, InstanceQueued, nil, false},
		{"open", nil, "discard", JobOpen, InstanceQueued, ErrState, false},
		{"open", nil, "skip", JobSkipped, InstanceNotAnalysed, nil, true},
		{"skipped", []string{"skip"}, "start", JobSkipped, InstanceNotAnalysed, nil, false},
		{"skipped", []string{"skip"}, "finish", JobSkipped, InstanceNotAnalysed, ErrState, false},
		{"skipped", []string{"skip"}, "park", JobSkipped, InstanceNotAnalysed, ErrState, false},
		{"skipped", []string{"skip"}, "skip", JobSkipped, InstanceNotAnalysed, ErrState, false},
		{"skipped", []string{"skip"}, "retry", JobOpen, InstanceQueued, nil, true},
		{"parked", []string{"park"}, "skip", JobParked, InstanceFailed, ErrState, false},
		{"done", []string{"finish"}, "start", JobDone, InstanceAnalysed, nil, false},
		{"done", []string{"finish"}, "finish", JobDone, InstanceAnalysed, ErrState, false},
		{"done", []string{"finish"}, "park", JobDone, InstanceAnalysed, ErrState, false},
		{"done", []string{"finish"}, "retry", JobDone, InstanceAnalysed, ErrState, false},
		{"done", []string{"finish"}, "discard", JobDone, InstanceAnalysed, ErrState, false},
		{"parked", []string{"park"}, "start", JobParked, InstanceFailed, nil, false},
		{"parked", []string{"park"}, "finish", JobParked, InstanceFailed, ErrState, false},
		{"parked", []string{"park"}, "park", JobParked, InstanceFailed, ErrState, false},
		{"parked", []string{"park"}, "retry", JobOpen, InstanceQueued, nil, true},
		{"parked", []string{"park"}, "discard", JobDiscarded, InstanceFailed, nil, true},
		{"discarded", []string{"park", "discard"}, "start", JobDiscarded, InstanceFailed, nil, false},
		{"discarded", []string{"park", "discard"}, "finish", JobDiscarded, InstanceFailed, ErrState, false},
		{"discarded", []string{"park", "discard"}, "park", JobDiscarded, InstanceFailed, ErrState, false},
		{"discarded", []string{"park", "discard"}, "retry", JobDiscarded, InstanceFailed, ErrState, false},
		{"discarded", []string{"park", "discard"}, "discard", JobDiscarded, InstanceFailed, nil, false},
	} {
		t.Run(c.name+"/"+c.step, func(t *testing.T) {
			l := openLedger(t)
			receive(t, l, receipt(1))
			for _, step := range c.before {
				require.NoError(t, jobSteps[step](l, t.Context()))
			}
			before := study(t, l)
			require.ErrorIs(t, jobSteps[c.step](l, t.Context()), c.err)
			after := study(t, l)
			require.Equal(t, c.want, after.InstanceViews[0].Jobs[0].State)
			require.Equal(t, c.instance, after.InstanceViews[0].State)
			require.Equal(t, c.changes, !equal(before, after))
			require.ErrorIs(t, jobSteps[c.step](l, done(t)), context.Canceled)
			requireTally(t, l)
		})
	}
}

func TestJob_unknown(t *testing.T) {
	l := openLedger(t)
	for name, step := range jobSteps {
		require.ErrorIs(t, step(l, t.Context()), ErrNotFound, name)
	}
	_, err := l.Job(t.Context(), job1)
	require.ErrorIs(t, err, ErrNotFound)
}

func TestJob_attempts(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	for n := 1; n <= 3; n++ {
		j, err := l.StartJob(ctx, job1, at(100+n))
		require.NoError(t, err)
		require.Equal(t, n, j.Attempts)
		require.Equal(t, at(101), j.InferredAt)
	}
	require.NoError(t, l.ParkJob(ctx, job1, "cannot decode", at(200)))
	j, err := l.Job(ctx, job1)
	require.NoError(t, err)
	require.Equal(t, "cannot decode", j.Reason)
	require.Equal(t, at(200), j.EndedAt)
	require.NoError(t, l.RetryJob(ctx, job1, at(201)))
	j, err = l.StartJob(ctx, job1, at(202))
	require.NoError(t, err)
	require.Equal(t, 1, j.Attempts)
	require.Equal(t, 1, j.Retries)
	require.Equal(t, at(101), j.InferredAt, "a retry gives the same bytes")
	require.Empty(t, j.Reason)
}

func TestOpenJobs_pages(t *testing.T) {
	l := openLedger(t)
	for n := 1; n <= 5; n++ {
		receive(t, l, receipt(n))
	}
	require.NoError(t, l.FinishJob(t.Context(), "entry003.demo", testModel, nil, nil, at(9)))
	var got []string
	for after := ""; ; {
		jobs, err := l.OpenJobs(t.Context(), after, 2)
		require.NoError(t, err)
		if len(jobs) == 0 {
			break
		}
		for _, j := range jobs {
			got = append(got, j.Entry)
			after = j.ID
		}
	}
	require.Equal(t, []string{"entry001", "entry002", "entry004", "entry005"}, got)
}

func TestFinishJob_allOrNothing(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	bad := frames()
	bad[0].Scores["polyp"] = math.NaN()
	require.ErrorContains(t, l.FinishJob(ctx, job1, testModel, bad, nil, at(2)), "result of frame 1")
	same := []Object{object(1, "pacs"), object(1, "pacs")}
	require.ErrorContains(t, l.FinishJob(ctx, job1, testModel, frames(), same, at(2)), "object 2.25.1")
	d := study(t, l)
	require.Equal(t, JobOpen, d.InstanceViews[0].Jobs[0].State)
	require.Empty(t, d.Objects)
	require.Empty(t, d.Deliveries)
	require.Equal(t, []string{"received", "queued"}, steps(d, "1.2.3.1"))
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), same[:1], at(2)))
}

func TestInstance_twoModels(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Models = []string{"demo", "other"}
	receive(t, l, r)
	state := func() InstanceState { return study(t, l).InstanceViews[0].State }
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, nil, nil, at(2)))
	require.Equal(t, InstanceQueued, state())
	require.NoError(t, l.ParkJob(ctx, "entry001.other", "no", at(3)))
	require.Equal(t, InstanceFailed, state())
	require.NoError(t, l.RetryJob(ctx, "entry001.other", at(4)))
	require.NoError(t, l.FinishJob(ctx, "entry001.other", testModel, nil, nil, at(5)))
	require.Equal(t, InstanceAnalysed, state())
	require.Len(t, study(t, l).Exams, 2)
}

func TestUnstartJob(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	attempts := func() int {
		job, err := l.Job(ctx, "entry001.demo")
		require.NoError(t, err)
		return job.Attempts
	}
	for range 2 {
		_, err := l.StartJob(ctx, "entry001.demo", at(2))
		require.NoError(t, err)
	}
	for _, want := range []int{1, 0, 0} {
		require.NoError(t, l.UnstartJob(ctx, "entry001.demo"))
		require.Equal(t, want, attempts())
	}
	_, err := l.StartJob(ctx, "entry001.demo", at(3))
	require.NoError(t, err)
	require.NoError(t, l.ParkJob(ctx, "entry001.demo", "no", at(4)))
	require.NoError(t, l.UnstartJob(ctx, "entry001.demo"))
	require.Equal(t, 1, attempts(), "only while open")
	require.ErrorIs(t, l.UnstartJob(ctx, "nobody"), ErrNotFound)
}
