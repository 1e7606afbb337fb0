package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errRefused = errors.New("refused")

// writeGroup runs writes in one transaction, behind one that keeps the writer busy meanwhile,
// and returns their errors.
func writeGroup(t *testing.T, l *Ledger, writes ...func(*tx) error) []error {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- l.write(t.Context(), func(*tx) error { close(entered); <-leave; return nil })
	}()
	<-entered
	errs := make([]error, len(writes))
	var wg sync.WaitGroup
	for i, do := range writes {
		wg.Go(func() { errs[i] = l.write(t.Context(), do) })
		require.Eventually(t, func() bool {
			return l.writes.Waiting() == i+1
		}, 2*time.Minute, time.Millisecond)
	}
	close(leave)
	wg.Wait()
	require.NoError(t, <-first)
	return errs
}

// setPosition is a write that shows whether it was committed.
func setPosition(n int, err error) func(*tx) error {
	return func(t *tx) error {
		if _, e := t.exec("UPDATE meta SET position = position + ?", n); e != nil {
			return e
		}
		return err
	}
}

func position(t *testing.T, l *Ledger) uint64 {
	t.Helper()
	p, err := l.Position(t.Context())
	require.NoError(t, err)
	return p
}

func TestWrite_failureUndoesItsOwnOnly(t *testing.T) {
	l := openLedger(t)
	errs := writeGroup(t, l, setPosition(1, nil), setPosition(10, errRefused), setPosition(100, nil))
	require.Equal(t, []error{nil, errRefused, nil}, errs)
	require.EqualValues(t, 101, position(t, l))
	require.ErrorIs(t, l.write(t.Context(), setPosition(1000, errRefused)), errRefused)
	require.EqualValues(t, 101, position(t, l))
}

func TestWrite_lostTransactionFailsAll(t *testing.T) {
	l := openLedger(t)
	lose := func(t *tx) error { // as SQLite does by itself when the disk is full
		_, err := t.exec("ROLLBACK")
		return errors.Join(err, errRefused)
	}
	errs := writeGroup(t, l, setPosition(1, nil), lose, setPosition(100, nil))
	require.ErrorContains(t, errs[0], "ledger: undo")
	require.ErrorIs(t, errs[1], errRefused)
	require.ErrorContains(t, errs[2], "ledger: undo")
	require.Zero(t, position(t, l))
	require.NoError(t, l.write(t.Context(), setPosition(1, nil)), "the next transaction works")
	require.EqualValues(t, 1, position(t, l))
}

func TestClose_refusesWrites(t *testing.T) {
	l := openLedger(t)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err := l.Receive(context.Background(), []Receipt{receipt(1)}, 1)
	require.ErrorIs(t, err, ErrClosed)
}

func TestConcurrent(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := w*each + i + 1
				r := receipt(n)
				r.Forward = []string{"pacs"}
				if _, err := l.Receive(ctx, []Receipt{r}, uint64(n)); err != nil {
					t.Error(err)
					return
				}
				id := JobID(r.ID, "demo")
				o := object(n, "pacs")
				_, err := l.StartJob(ctx, id, at(n))
				err = errors.Join(err, l.FinishJob(ctx, id, testModel, frames(), []Object{o}, at(n)))
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range each {
				ds, err := l.DueDeliveries(ctx, "pacs", at(1000), longest, 3)
				for _, d := range ds {
					err = errors.Join(err, l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(1000)))
				}
				if err != nil {
					t.Error(err)
				}
				if _, err := l.Counts(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	requireTally(t, l)
	require.Equal(t, fmt.Sprint(writers*each), text(t, l, "SELECT count(*) FROM instance WHERE state = 'analysed'"))
	require.Equal(t, fmt.Sprint(2*writers*each), text(t, l, "SELECT count(*) FROM delivery"))
}

func TestWrite_panics(t *testing.T) {
	l := openLedger(t)
	write := func() error {
		return l.write(t.Context(), func(*tx) error { panic("out of order") })
	}
	require.ErrorContains(t, write(), "panicked: string")
	var wg sync.WaitGroup
	for n := 1; n <= 50; n++ {
		wg.Go(func() { assert.ErrorContains(t, write(), "panicked: string") })
		wg.Go(func() {
			_, err := l.Receive(t.Context(), []Receipt{receipt(n)}, uint64(n))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, 50, study(t, l).Study.Instances, "the others of the group are written")
}

// TestWrite_undoStaysOutOfFiles looks at what is open while a write can still be undone that has changed more than SQLite keeps
// in memory by itself.
func TestWrite_undoStaysOutOfFiles(t *testing.T) {
	l := openLedger(t)
	var many []Receipt
	for i := range 300 {
		many = append(many, receipt(i+1))
	}
	receive(t, l, many...)
	change := func(t *tx) error {
		if _, err := t.exec("UPDATE instance SET header = json_set(header, '$.remarks', hex(randomblob(200))) WHERE id BETWEEN 1 AND 300"); err != nil {
			return err
		}
		open, err := filepath.Glob("/proc/self/fd/*")
		if err != nil {
			return err
		}
		for _, fd := range open {
			if to, _ := os.Readlink(fd); strings.Contains(to, "etilqs") { // SQLite's name for temporary files
				return fmt.Errorf("%w: %s is open", errRefused, to)
			}
		}
		return nil
	}
	for range 2 {
		for _, err := range writeGroup(t, l, change, change) {
			require.NoError(t, err)
		}
		require.NoError(t, l.Scrub(t.Context())) // which uses a file, and no longer than it takes
	}
}
