package intake

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// Journal keeps the ledger's actions in the spool, among the data sets that they are about: what somebody did, or a peer
// was told, is one record of the log before it is a row.
type Journal struct {
	Spool *spool.Spool
	Now   func() time.Time
	Log   *slog.Logger
}

// ofLedger is the record of the ledger's actions.
var ofLedger = json.RawMessage(`{"journal":"ledger"}`)

// checkpoint is the record of a ledger as it was, in place of the actions before it.
var checkpoint = json.RawMessage(`{"journal":"checkpoint"}`)

func isCheckpoint(e spool.Entry) bool {
	return e.Kind == spool.Action && string(e.Record) == string(checkpoint)
}

// Checkpoint puts the ledger as it is into the spool, and then releases the actions that it comes from: a ledger that is
// rebuilt begins there.
func (j Journal) Checkpoint(ctx context.Context, l *ledger.Ledger) (err error) {
	path, acted, err := l.Copy(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(path)) }()
	e, err := j.keep(path)
	if err != nil {
		return err
	}
	if err := j.Spool.ReleaseNotes(acted); err != nil {
		return err
	}
	var before []string // with files of their own
	for entry, err := range j.Spool.Held(0) {
		if entry.Seq >= e.Seq {
			break
		}
		if err == nil && (isOfLedger(entry) && entry.Seq <= acted || isCheckpoint(entry)) {
			before = append(before, entry.ID)
		}
	}
	return j.Spool.Release(before...)
}

func (j Journal) keep(path string) (spool.Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return spool.Entry{}, err
	}
	defer f.Close()
	w, err := j.Spool.CreateMade()
	if err != nil {
		return spool.Entry{}, err
	}
	defer func() { _ = w.Abort() }() // nothing happens after Commit
	if _, err := io.Copy(w, f); err != nil {
		return spool.Entry{}, err
	}
	return w.Commit(spool.Entry{Kind: spool.Action, Record: checkpoint, MediaType: "application/vnd.sqlite3", At: j.Now()})
}

// Checkpointed reports whether there is a checkpoint with a Seq above after: the actions before it may be gone.
func (j Journal) Checkpointed(after uint64) (bool, error) {
	for entry, err := range j.Spool.Held(after) {
		if withheld(entry, err) {
			return false, err
		}
		if err == nil && isCheckpoint(entry) {
			return true, nil
		}
	}
	return false, nil
}

// Restore writes the ledger of the last checkpoint to w, false where there is none.
func (j Journal) Restore(w io.Writer) (bool, error) {
	var last spool.Entry
	for entry, err := range j.Spool.Held(0) {
		if withheld(entry, err) {
			return false, err
		}
		if err == nil && isCheckpoint(entry) {
			last = entry
		}
	}
	if last.ID == "" {
		return false, nil
	}
	r, err := j.Spool.Read(last)
	if err != nil {
		return false, err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return true, err
}

// withheld says that there may be an action which the disk does not give now. What is of a data set is the follower's to tell of.
func withheld(e spool.Entry, err error) bool {
	return err != nil && !errors.Is(err, spool.ErrCorrupt) && (e.Kind == spool.Action || e.Seq == 0)
}

func isOfLedger(e spool.Entry) bool {
	return e.Kind == spool.Action && string(e.Record) == string(ofLedger)
}

// Append implements ledger.Journal. It takes part in the sync of whatever is received at the same time.
func (j Journal) Append(actions []byte) (uint64, error) {
	e, err := j.Spool.Append(spool.Entry{Kind: spool.Action, Record: ofLedger, MediaType: "application/x-ndjson", At: j.Now()}, actions)
	return e.Seq, err
}

// After implements ledger.Journal. Actions that the disk has lost are passed over: those behind them are worth having.
func (j Journal) After(after uint64) iter.Seq2[ledger.Appended, error] {
	return func(yield func(ledger.Appended, error) bool) {
		for entry, err := range j.Spool.Entries(after) {
			if withheld(entry, err) {
				yield(ledger.Appended{}, err)
				return
			}
			if err == nil && !isOfLedger(entry) || err != nil && entry.Kind != spool.Action {
				continue // a data set that is damaged is the follower's to tell of
			}
			var actions []byte
			if err == nil {
				actions, err = j.read(entry)
			}
			if errors.Is(err, spool.ErrCorrupt) {
				j.Log.Error("actions cannot be read: the ledger has them, one that is rebuilt will not; restore the data folder", "entry", entry.ID, "err", err)
				continue
			}
			if !yield(ledger.Appended{Seq: entry.Seq, Actions: actions}, err) {
				return
			}
		}
	}
}

func (j Journal) read(e spool.Entry) ([]byte, error) {
	r, err := j.Spool.Read(e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
