package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"endogate/dicomnode/durable"
	"endogate/dicomnode/failure"
)

// maxGroup bounds how many callers' writes share a commit.
const maxGroup = 256

// tx is the one connection that writes, in a transaction. Its statements stay prepared.
type tx struct {
	ctx   context.Context // never ends: a write that has begun is finished
	conn  *sql.Conn
	stmts map[string]*sql.Stmt

	by         Actor           // who does what is being done
	configured map[string]bool // destinations that something is sent to; nil: all
}

func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.stmts[query]; ok {
		return s, nil
	}
	s, err := t.conn.PrepareContext(t.ctx, query)
	if err != nil {
		return nil, err
	}
	t.stmts[query] = s
	return s, nil
}

// exec runs query and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// insert runs query and returns the ID of the new row.
func (t *tx) insert(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// row scans the first row of query; sql.ErrNoRows when there is none.
func (t *tx) row(query string, args []any, dest ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	return content(s.QueryRowContext(t.ctx, args...).Scan(dest...))
}

func (t *tx) rows(query string, args ...any) (*sql.Rows, error) {
	s, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(t.ctx, args...)
}

// strings returns the one column that query selects.
func (t *tx) strings(query string, args ...any) ([]string, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scanString)
}

// ids is strings of a column of numbers.
func (t *tx) ids(query string, args ...any) ([]int64, error) {
	rows, err := t.rows(query, args...)
	if err != nil {
		return nil, err
	}
	return scanAll(rows, scanInt)
}

// keepTemporary says where SQLite keeps what a commit does not need: in MEMORY or in a FILE.
func (t *tx) keepTemporary(where string) error {
	_, err := t.conn.ExecContext(t.ctx, "PRAGMA temp_store = "+where)
	return err
}

func (t *tx) close() error {
	var errs []error
	for _, s := range t.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, t.conn.Close())...)
}

// durability says what a power cut may take of a write that has returned, where no journal has it: with one, no commit
// waits for the disk. A process that is killed takes nothing.
//
// Transactions reach the disk in the order of their commits: one that is synced takes all before it along. So a write
// need not be synced by itself where what is lost can be had again, and nobody was told of it:
//
//	Receive       batched  The spool has what was received, and its jobs and deliveries follow from it. The position
//	                       goes back with it, and the follower takes it in again. Under load these are most writes,
//	                       and their syncs would compete with the spool's.
//	FinishJob,    before   The objects are in the spool, but a job done again may give other last bits under the same
//	FinishReport  sent     UIDs. So they are synced before anything made of them is sent: DueDeliveries sees to it.
//	Forget        batched  What is still there is forgotten again.
//	all others    synced   What a person did is nowhere else. What a peer has, or was told, must not be told otherwise.
//	                       The start of a job is what its dates are made from, and counts for jobs that take the
//	                       machine down. What is released or parked is seen in the spool, and must agree with it.
type durability int

const (
	synced durability = iota
	batched
	beforeSent
)

// pending is a caller's write that waits for a transaction.
type pending struct {
	action *action // nil: nothing that the journal need know
	do     func(*tx) error
	how    durability
	probe  bool // done although there is trouble, to find out whether there is still
	err    error
}

// run does the write. One that panics fails like any other, and holds up nobody else's.
func (p *pending) run(t *tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("ledger: write panicked: %s\n%s", failure.Reason(v), debug.Stack())
		}
	}()
	return p.do(t)
}

// writer has the one connection that writes. Only the caller that leads a group uses tx.
type writer struct {
	durable.Group[*pending]
	tx *tx

	unsynced bool                // PRAGMA synchronous is NORMAL
	unsure   atomic.Bool         // there are results that a power cut could take
	done     func(unsynced bool) // called after each commit; nil but in tests

	journal  Journal // nil: none
	appended uint64  // seq of the last actions in it
	acted    uint64  // of the last that the ledger has
}

// write runs do in a transaction that it may share with other callers' writes; an error of do
// undoes what do did and nothing else. It returns once the outcome is durable. do must not
// keep rows open and may run on another goroutine.
func (l *Ledger) write(ctx context.Context, do func(*tx) error) error {
	return l.writeAs(ctx, synced, do)
}

// writeAs is write with another durability.
func (l *Ledger) writeAs(ctx context.Context, how durability, do func(*tx) error) error {
	return l.submit(ctx, &pending{do: do, how: how})
}

func (l *Ledger) submit(ctx context.Context, p *pending) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.writeDB == nil {
		return ErrReadOnly
	}
	if t := l.Trouble(); t != nil && !p.probe {
		return t
	}
	ok := l.writes.Do(p, func(take durable.Take[*pending]) {
		l.writes.run(take(func([]*pending) int { return maxGroup }))
	})
	if !ok {
		return ErrClosed
	}
	if p.err != nil {
		return l.blame(p.err)
	}
	return nil
}

// blame is err of a write, or the trouble that it comes of. What no write should meet is looked into.
func (l *Ledger) blame(err error) error {
	for _, expected := range refusals {
		if errors.Is(err, expected) {
			return err
		}
	}
	if t := l.Trouble(); t != nil {
		return t
	}
	var unread *unreadable
	if errors.As(err, &unread) {
		l.health.doubts(err)
	}
	return err
}

// refusals are the errors by which a write says that it is not possible.
var refusals = []error{ErrNotFound, ErrState, ErrClosed, ErrReadOnly, ErrNoPatient, ErrPatient, ErrOtherContent, ErrNoPerson, errOrderState, errNewer}

// run does the writes of group in one transaction and sets their errors.
func (w *writer) run(group []*pending) {
	var err error
	if w.appended > w.acted { // a transaction failed after its actions were in the journal
		_, err = w.catchUp(context.Background())
	}
	if err == nil {
		var appended func() error
		group, appended = w.record(group)
		err = cmp.Or(w.transact(group, appended), appended())
	}
	if err != nil {
		// The rollback fails when SQLite has rolled back by itself; either way nothing is left.
		_, _ = w.tx.exec("ROLLBACK")
		for _, p := range group {
			if p.err == nil {
				p.err = err
			}
		}
	}
}

// transact returns an error when the transaction as a whole was not committed. It is, once the journal has the actions.
func (w *writer) transact(group []*pending, appended func() error) error {
	if len(group) == 0 {
		return nil
	}
	has := func(how durability) bool {
		return slices.ContainsFunc(group, func(p *pending) bool { return p.how == how })
	}
	unsynced := w.journal != nil || !has(synced)
	if err := w.setSync(unsynced); err != nil {
		return fmt.Errorf("ledger: synchronous: %w", err)
	}
	if w.journal == nil && unsynced && has(beforeSent) {
		w.unsure.Store(true) // before anybody can read them
	}
	if _, err := w.tx.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("ledger: begin: %w", err)
	}
	for _, p := range group {
		if err := w.isolate(p, len(group) > 1 || w.journal != nil); err != nil {
			return err
		}
	}
	if err := appended(); err != nil {
		return err
	}
	if w.appended > w.acted {
		if _, err := w.tx.exec("UPDATE meta SET acted = ?", int64(w.appended)); err != nil {
			return fmt.Errorf("ledger: acted: %w", err)
		}
	}
	if _, err := w.tx.exec("COMMIT"); err != nil {
		return fmt.Errorf("ledger: commit: %w", err)
	}
	if !unsynced {
		w.unsure.Store(false)
	}
	if w.done != nil {
		w.done(unsynced)
	}
	w.acted = w.appended
	return nil
}

// setSync says whether commits wait for the disk. SQLite takes it up when the statement is compiled, between
// transactions.
func (w *writer) setSync(unsynced bool) error {
	if unsynced == w.unsynced {
		return nil
	}
	mode := "FULL"
	if unsynced {
		mode = "NORMAL"
	}
	if _, err := w.tx.conn.ExecContext(w.tx.ctx, "PRAGMA synchronous = "+mode); err != nil {
		return err
	}
	w.unsynced = unsynced
	return nil
}

// sync returns when the results that can be read are durable.
func (l *Ledger) sync(ctx context.Context) error {
	if !l.writes.unsure.Load() {
		return nil
	}
	return l.write(ctx, func(t *tx) error {
		_, err := t.exec("UPDATE meta SET position = position") // a commit without a change would not be synced
		return err
	})
}

// isolate does the write of p so that its failure undoes p alone.
func (w *writer) isolate(p *pending, shared bool) error {
	if !shared {
		p.err = p.run(w.tx)
		return p.err
	}
	if _, err := w.tx.exec("SAVEPOINT caller"); err != nil {
		return fmt.Errorf("ledger: savepoint: %w", err)
	}
	if p.err = p.run(w.tx); p.err != nil {
		if w.journal != nil && disorder(p.err) {
			return p.err // it is in the journal, so it is to be done
		}
		if _, err := w.tx.exec("ROLLBACK TO caller"); err != nil {
			return fmt.Errorf("ledger: undo: %w", err)
		}
	}
	if _, err := w.tx.exec("RELEASE caller"); err != nil {
		return fmt.Errorf("ledger: savepoint: %w", err)
	}
	return nil
}
