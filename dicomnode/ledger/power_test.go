package ledger

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// platter is what a disk is sure to have of a ledger when the power goes: its files as they were at the last commit that
// SQLite synced. It asks SQLite which those are.
type platter struct {
	t     testing.TB
	path  string
	mu    sync.Mutex
	files map[string][]byte
	syncs int
}

func openOnPlatter(t testing.TB) (*Ledger, *platter) {
	p := &platter{t: t, path: filepath.Join(t.TempDir(), "ledger.db")}
	l := reopen(t, p.path)
	p.keep()
	l.writes.done = func(unsynced bool) {
		var mode string
		require.NoError(t, l.writes.tx.conn.QueryRowContext(context.Background(), "PRAGMA synchronous").Scan(&mode))
		require.Equal(t, unsynced, mode == "1")
		if mode == "2" {
			p.keep()
			p.syncs++
		}
	}
	return l, p
}

func (p *platter) keep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = map[string][]byte{}
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(p.path + end)
		require.NoError(p.t, err)
		p.files[end] = b
	}
}

// cut returns the ledger that is left when the power goes now.
func (p *platter) cut() *Ledger {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	path := filepath.Join(p.t.TempDir(), "ledger.db")
	for end, b := range p.files {
		require.NoError(p.t, os.WriteFile(path+end, b, 0o600))
	}
	return reopen(p.t, path)
}

// TestPowerCut cuts the power after each step: what a person did, what a peer has and the start of a job are there, and
// all that went before with them.
func TestPowerCut(t *testing.T) {
	memory := installed.Watched(t)
	l, p := openOnPlatter(t)
	ctx := t.Context()
	r := receipt(1)
	r.Forward, r.Models = []string{"pacs", "archive"}, []string{"demo", "other", "third"}
	receive(t, l, r)
	steps := []struct {
		name string
		do   func() error
	}{
		{"start", func() error { _, err := l.StartJob(ctx, job1, at(2)); return err }},
		{"take back", func() error { return l.UnstartJob(ctx, job1) }},
		{"park", func() error { return l.ParkJob(ctx, job1, "no", at(3)) }},
		{"retry", func() error { return l.RetryJob(ctx, job1, at(4)) }},
		{"skip", func() error { return l.SkipJob(ctx, "entry001.other", "no", at(5)) }},
		{"park other", func() error { return l.ParkJob(ctx, "entry001.third", "no", at(5)) }},
		{"discard", func() error { return l.DiscardJob(ctx, "entry001.third", at(5)) }},
		{"defer", func() error { return l.Defer(ctx, 1, Deferral{Next: at(6)}, at(6)) }},
		{"sent", func() error { return l.Sent(ctx, 1, "entry001", at(50), said("0000"), at(7)) }},
		{"delivered", func() error { return l.Delivered(ctx, 1, "entry001", said("0000"), at(8)) }},
		{"park delivery", func() error { return l.Park(ctx, 2, said("C000"), "no", at(9)) }},
		{"unpark", func() error { _, err := l.Unpark(ctx, 2, at(10)); return err }},
		{"discard delivery", func() error { return l.Discard(ctx, 2, at(11)) }},
		{"finish, discard other", func() error {
			require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(12)))
			require.NoError(t, l.ParkExam(ctx, due(t, l, 1000)[0], "no", at(13)))
			return l.RetryExam(ctx, due(t, l, 1000)[0].ID, at(14))
		}},
	}
	for _, step := range steps {
		require.NoError(t, step.do(), step.name)
		left := p.cut()
		require.Equal(t, study(t, l), study(t, left), step.name)
		requireTally(t, left)
	}
	installed.Tried(t, installed.Drill{Tried: "the power cut after each step of a person, a peer or a job in the ledger: what was not synced is gone", Kept: len(steps), Memory: memory.Memory()})
}

// TestPowerCut_received: what was received may be gone, and is the same again when the spool gives it again.
func TestPowerCut_received(t *testing.T) {
	l, p := openOnPlatter(t)
	one, two := receipt(1), receipt(2)
	one.Forward = []string{"pacs"}
	receive(t, l, one)
	require.Zero(t, p.syncs, "it does not compete with the spool for the disk")
	require.NoError(t, l.Discard(t.Context(), 1, at(2)))
	receive(t, l, two, as(one, 3))
	require.Equal(t, 1, p.syncs)
	left := p.cut()
	position, err := left.Position(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, position)
	require.Equal(t, []Verdict{New, Duplicate}, receive(t, left, two, as(one, 3)))
	require.Equal(t, study(t, l), study(t, left))
}

// TestPowerCut_results: a job's results may be gone, and are there once anything made of them may be sent.
func TestPowerCut_results(t *testing.T) {
	l, p := openOnPlatter(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	_, err := l.StartJob(ctx, job1, at(2))
	require.NoError(t, err)
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), []Object{object(1, "pacs")}, at(3)))
	left := p.cut()
	j, err := left.Job(ctx, job1)
	require.NoError(t, err)
	require.Equal(t, JobOpen, j.State, "it is done again")
	require.Equal(t, at(2), j.InferredAt, "with the same date")

	for range 2 {
		ds, err := l.DueDeliveries(ctx, "archive", at(4), longest, 10)
		require.NoError(t, err)
		require.Empty(t, ds)
	}
	before := p.syncs
	for range 3 {
		ds, err := l.DueDeliveries(ctx, "pacs", at(4), longest, 10)
		require.NoError(t, err)
		require.Len(t, ds, 1)
	}
	require.Equal(t, before+1, p.syncs, "once, and only where something is to be sent")
	require.Equal(t, study(t, l), study(t, p.cut()))

	require.NoError(t, l.FinishReport(ctx, dueOne(t, l, 1000), []Object{object(2, "archive")}, at(1000)))
	ds, err := l.DueDeliveries(ctx, "archive", at(1000), longest, 10)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, study(t, l), study(t, p.cut()))
}

// TestPowerCut_group: a write that is to be synced has those synced that share its transaction.
func TestPowerCut_group(t *testing.T) {
	l, p := openOnPlatter(t)
	r := receipt(1)
	r.Forward = []string{"pacs"}
	receive(t, l, r)
	entered, leave := make(chan struct{}), make(chan struct{})
	var writes sync.WaitGroup
	writes.Go(func() {
		assert.NoError(t, l.writeAs(context.Background(), batched, func(*tx) error { close(entered); <-leave; return nil }))
	})
	<-entered
	for n := 2; n <= 5; n++ {
		writes.Go(func() {
			_, err := l.Receive(context.Background(), []Receipt{receipt(n)}, uint64(n))
			assert.NoError(t, err)
		})
	}
	writes.Go(func() { assert.NoError(t, l.Discard(context.Background(), 1, at(2))) })
	assert.Eventually(t, func() bool {
		return l.writes.Waiting() == 5
	}, 2*time.Minute, time.Millisecond)
	close(leave)
	writes.Wait()
	require.Equal(t, 1, p.syncs)
	require.Equal(t, study(t, l), study(t, p.cut()))
}
