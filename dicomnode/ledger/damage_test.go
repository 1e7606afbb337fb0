package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// worked is a ledger with work of every kind in it, closed, and its journal.
func worked(t *testing.T) (file []byte, j *memoryJournal) {
	j = &memoryJournal{}
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, _ := keep(t, path, j)
	ctx := t.Context()
	for n := 1; n <= 6; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs"}
		receive(t, l, r)
	}
	for n := 1; n <= 3; n++ {
		require.NoError(t, l.FinishJob(ctx, fmt.Sprintf("entry%03d.demo", n), testModel, frames(), []Object{object(n, "pacs")}, at(10+n)))
	}
	require.NoError(t, l.ParkJob(ctx, "entry004.demo", "pixel data end early", at(15)))
	due, err := l.DueDeliveries(ctx, "pacs", at(1000), longest, 3)
	require.NoError(t, err)
	require.NoError(t, l.Delivered(ctx, due[0].ID, due[0].Entry, said("0000"), at(16)))
	require.NoError(t, l.Park(ctx, due[1].ID, said("a900"), "refused", at(17)))
	_, err = l.TakeMessage(ctx, Inbound{Message: Message{Entry: "message1", Type: "ORM", Application: "RIS", ControlID: "1", At: at(18)}})
	require.NoError(t, err)
	problems, err := l.Check(ctx)
	require.NoError(t, err)
	require.Empty(t, problems)
	require.NoError(t, l.Close())
	file, err = os.ReadFile(path)
	require.NoError(t, err)
	return file, j
}

// goOn does on a ledger what a gateway does, until it is in trouble, and returns what was acknowledged. sent counts how often
// each delivery was handed out. An error that is neither trouble nor found to be by a look is a fault of ours.
func goOn(t *testing.T, l *Ledger, sent map[int64]int) (acknowledged []string) {
	ctx := t.Context()
	try := func(what string, err error) bool {
		if err == nil {
			return true
		}
		l.Look(ctx)
		assert.True(t, IsTrouble(err) || l.Trouble() != nil || errors.Is(err, ErrState), "%s: %v", what, err)
		return false
	}
	for n := 20; n < 23 && l.Trouble() == nil; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs"}
		if _, err := l.Receive(ctx, []Receipt{r}, uint64(n)); try("receive", err) {
			acknowledged = append(acknowledged, r.ID)
		}
		if open, err := l.OpenJobs(unlessTrouble(ctx, l), "", 1); try("open jobs", err) && len(open) > 0 {
			if _, err := l.StartJob(ctx, open[0].ID, at(30)); try("start", err) {
				try("finish", l.FinishJob(ctx, open[0].ID, testModel, frames(), nil, at(30)))
			}
		}
		deliveries, err := l.DueDeliveries(unlessTrouble(ctx, l), "pacs", at(1000), longest, 100)
		if !try("due", err) {
			continue
		}
		for _, d := range deliveries {
			if l.Trouble() == nil {
				sent[d.ID]++
				try("delivered", l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(31)))
			}
		}
	}
	return acknowledged
}

// unlessTrouble is a context that is done where what is due would wait.
func unlessTrouble(ctx context.Context, l *Ledger) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	cancel(l.Trouble())
	if l.Trouble() == nil {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

var damages = map[string]func(page []byte){
	"zeroed":  func(page []byte) { clear(page) },
	"flipped": func(page []byte) { page[len(page)-7] ^= 0x40 },
	"header":  func(page []byte) { page[3] ^= 0x11 },
	"ones": func(page []byte) {
		for i := range page {
			page[i] = 0xff
		}
	},
	"of another": func(page []byte) { copy(page, bytes.Repeat([]byte("another file's "), len(page)/15)) },
}

// TestDamage damages each page of a ledger, one at a time, in some ways. Whatever is damaged, a start finds it, or it changes
// nothing that a gateway does; and one that comes while it runs ends in trouble, not in something sent again and again, or in
// an instance that is at fault. What was acknowledged before and after is in a ledger that is made anew.
func TestDamage(t *testing.T) {
	file, before := worked(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	anew, done := keep(t, filepath.Join(t.TempDir(), "ledger.db"), before)
	require.NotZero(t, done)
	require.Equal(t, dump(t, reopen(t, path)), dump(t, anew))
	pageSize := int(file[16])<<8 | int(file[17])
	pages := len(file) / pageSize
	require.Greater(t, pages, 60)
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			memory := installed.Watched(t)
			found, running, every := 0, 0, installed.Scaled(5, 1)
			if name == "zeroed" {
				every = 1
			}
			for page := 0; page < pages; page += every {
				broken := bytes.Clone(file)
				damage(broken[page*pageSize : (page+1)*pageSize])
				for _, checked := range []bool{true, false} {
					path := filepath.Join(t.TempDir(), "ledger.db")
					require.NoError(t, os.WriteFile(path, broken, 0o600))
					l, err := Open(path)
					if err != nil {
						require.True(t, IsTrouble(err), "page %d: %v", page+1, err)
						require.ErrorContains(t, err, "endogate ledger rebuild")
						found++
						continue
					}
					j := &memoryJournal{all: append([]Appended(nil), before.all...)}
					if checked {
						_, err := l.Check(t.Context())
						require.NoError(t, err)
					}
					if _, err := l.Keep(t.Context(), j); err != nil {
						require.Error(t, l.Trouble(), "page %d: %v", page+1, err)
					}
					sent := map[int64]int{}
					acknowledged := goOn(t, l, sent)
					for id, n := range sent {
						require.Equal(t, 1, n, "page %d: delivery %d is sent again", page+1, id)
					}
					switch {
					case l.Trouble() == nil:
					case checked:
						found++
						require.Empty(t, sent, "page %d", page+1)
						require.Empty(t, acknowledged, "page %d", page+1)
						_, err = l.Receive(t.Context(), []Receipt{receipt(40)}, 40)
						require.True(t, IsTrouble(err))
					default:
						running++
					}
					require.NoError(t, l.Close())
					sound := filepath.Join(t.TempDir(), "sound.db")
					require.NoError(t, os.WriteFile(sound, file, 0o600))
					anew, _ := keep(t, sound, j) // as a rebuild does, from where the damage came
					for _, entry := range append(acknowledged, "entry001", "entry006") {
						needed, err := anew.Known(t.Context(), []string{entry})
						require.NoError(t, err)
						require.True(t, needed[entry], "page %d: %s", page+1, entry)
					}
					if len(acknowledged) > 0 {
						problems, err := anew.Check(t.Context())
						require.NoError(t, err)
						require.Empty(t, problems)
					}
					require.NoError(t, anew.Close())
				}
			}
			t.Logf("of %d pages damage was found at the start %d times, while running without a look %d times", pages, found, running)
			if name != "flipped" {
				require.GreaterOrEqual(t, found, pages/every-2, "the start finds it")
			}
			installed.Tried(t, installed.Drill{
				Tried: fmt.Sprintf("a page of a ledger of %d pages %s, %d times, half of them looked at whole first: found at the start %d times, while running %d times, of no effect otherwise; all is there again in a ledger made anew",
					pages, name, 2*((pages+every-1)/every), found, running), Memory: memory.Memory(),
			})
		})
	}
}

// TestDamage_whileRunning zeroes the file under a ledger that runs: reading tells.
func TestDamage_whileRunning(t *testing.T) {
	file, _ := worked(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	l := reopen(t, path)
	require.NoError(t, l.Trouble())
	changed := l.Changed()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, len(file)-4096), 4096)
	require.NoError(t, errors.Join(err, f.Close()))
	_, _, err = l.Studies(t.Context(), StudyFilter{})
	require.Error(t, err)
	require.ErrorContains(t, l.Trouble(), "may be damaged")
	<-changed
	l.Look(t.Context())
	require.ErrorContains(t, l.Trouble(), "endogate ledger rebuild")
	l.Look(t.Context())
	require.Error(t, l.Trouble(), "it does not pass")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = l.DueDeliveries(ctx, "pacs", at(0), longest, 1)
	require.ErrorIs(t, err, context.Canceled, "what is due waits")
}

// TestTrouble_passes: a ledger that could not be written goes on by itself.
func TestTrouble_passes(t *testing.T) {
	for _, code := range []sqlite3.ErrNo{sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrBusy, sqlite3.ErrReadonly} {
		l := reopen(t, filepath.Join(t.TempDir(), "ledger.db"))
		l.health.see(fmt.Errorf("of a write: %w", sqlite3.Error{Code: code}))
		_, err := l.Receive(t.Context(), []Receipt{receipt(1)}, 1)
		require.True(t, IsTrouble(err), "%v", err)
		require.NotContains(t, err.Error(), "rebuild")
		waits := make(chan error, 1)
		go func() { _, err := l.OpenJobs(t.Context(), "", 1); waits <- err }()
		l.Look(t.Context())
		require.NoError(t, l.Trouble())
		require.NoError(t, <-waits)
		receive(t, l, receipt(1))
	}
}

// TestTrouble_full is a disk without room, as SQLite sees one: a bound on the pages of the file.
func TestTrouble_full(t *testing.T) {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	limit := func(pages int) {
		_, err := l.writes.tx.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	limit(1)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		_, err = l.Receive(t.Context(), []Receipt{receipt(n)}, uint64(n))
	}
	require.True(t, IsTrouble(err), "%v", err)
	l.Look(t.Context())
	require.Error(t, l.Trouble(), "it is full still")
	limit(1 << 30)
	l.Look(t.Context())
	require.NoError(t, l.Trouble())
	needed, err := l.Known(t.Context(), []string{receipt(n - 1).ID})
	require.NoError(t, err)
	require.True(t, needed[receipt(n-1).ID], "what was in the journal by then is done")
}

// TestSuspect: an error that no write should meet is the ledger's where a check finds it damaged, else of what it is about.
func TestSuspect(t *testing.T) {
	l := reopen(t, filepath.Join(t.TempDir(), "ledger.db"))
	receive(t, l, receipt(1))
	odd := sqlite3.Error{Code: sqlite3.ErrConstraint}
	require.NoError(t, l.Suspect(t.Context(), odd))
	require.NoError(t, l.Trouble())
	_, err := l.writes.tx.conn.ExecContext(t.Context(), "UPDATE tally SET n = n + 1; UPDATE instance SET header = '{'")
	require.NoError(t, err)
	require.NoError(t, l.Suspect(t.Context(), odd), "it was looked at a moment ago")
	l.health.sound = l.health.sound.Add(-2 * soundFor)
	require.True(t, IsTrouble(l.Suspect(t.Context(), odd)))
	require.ErrorContains(t, l.Trouble(), "instance")

	l = reopen(t, filepath.Join(t.TempDir(), "ledger.db"))
	receive(t, l, receipt(1))
	_, err = l.writes.tx.conn.ExecContext(t.Context(), "UPDATE exam SET destinations = '['")
	require.NoError(t, err)
	err = l.FinishJob(t.Context(), "entry001.demo", testModel, frames(), nil, at(1))
	if err != nil {
		l.Look(t.Context())
		require.Error(t, l.Trouble(), "a row that cannot be read has it looked at")
	}
}

func TestCheckFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := reopen(t, path)
	receive(t, l, receipt(1))
	problems, err := CheckFile(t.Context(), path)
	require.NoError(t, err)
	require.Empty(t, problems)
	_, err = l.writes.tx.conn.ExecContext(t.Context(), "PRAGMA foreign_keys = off; DELETE FROM exam")
	require.NoError(t, err)
	problems, err = CheckFile(t.Context(), path)
	require.NoError(t, err)
	require.Contains(t, problems, "a row of job refers to one of exam that is not there")
	require.NoError(t, os.WriteFile(path+".2", []byte("no database, but long enough to be looked at"), 0o600))
	problems, err = CheckFile(t.Context(), path+".2")
	require.NoError(t, err)
	require.NotEmpty(t, problems)
	_, err = CheckFile(t.Context(), path+".3")
	require.Error(t, err)
}
