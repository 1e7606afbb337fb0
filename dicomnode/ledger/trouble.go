package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// Trouble is an error of the ledger itself: no instance, job or delivery is at fault, and none is to be parked for it. While
// there is one nothing is written, and what is due is not handed out.
type Trouble struct {
	// Damaged says that what is on the disk cannot be trusted any more, as a look at it has found: this does not pass. Else it is the
	// disk or the machine, and the ledger goes on as soon as it can.
	Damaged bool
	Err     error
}

// Error says what is wrong, and what is to be done.
func (t *Trouble) Error() string {
	if t.Damaged {
		return fmt.Sprintf("the ledger is damaged (%v): stop the gateway, look with: endogate ledger check, make it anew with: "+
			"endogate ledger rebuild; what was accepted is safe in the spool", t.Err)
	}
	if errors.Is(t.Err, errMoved) {
		return t.Err.Error()
	}
	if kindOf(t.Err) == damaged {
		return fmt.Sprintf("the ledger may be damaged, or the disk does not give what is on it (%v): all of it is being looked at", t.Err)
	}
	return fmt.Sprintf("the ledger cannot be used (%v): see to disk and permissions of the data folder; it goes on by itself then", t.Err)
}

// Unwrap returns what SQLite said.
func (t *Trouble) Unwrap() error { return t.Err }

// IsTrouble reports whether err is of the ledger itself.
func IsTrouble(err error) bool {
	var t *Trouble
	return errors.As(err, &t)
}

// IsFileTooLarge reports whether err is that a file of the ledger may not be as large as it has to be. SQLite's errors do not unwrap to it.
func IsFileTooLarge(err error) bool {
	var of sqlite3.Error
	return errors.As(err, &of) && of.SystemErrno == syscall.EFBIG
}

// kind is what an error of SQLite says about the ledger.
type kind int

const (
	ordinary   kind = iota // nothing
	suspicious             // no code of ours should meet it: a fault of ours, or of the file's content; Suspect finds out
	hindered               // the disk or the machine does not let it work
	damaged
)

// kindOf is the one classification of errors of the store.
func kindOf(err error) kind {
	var of sqlite3.Error
	if !errors.As(err, &of) {
		return ordinary
	}
	for k, codes := range codesOf {
		if slices.Contains(codes, of.Code) {
			return k
		}
	}
	return ordinary
}

// codesOf are the result codes of SQLite (https://sqlite.org/rescode.html). Those that say nothing of the store are of a
// context that has ended, and of values too big.
var codesOf = map[kind][]sqlite3.ErrNo{
	damaged: {sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrInternal, sqlite3.ErrFormat},
	hindered: {
		sqlite3.ErrPerm, sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrNomem, sqlite3.ErrReadonly, sqlite3.ErrIoErr,
		sqlite3.ErrFull, sqlite3.ErrCantOpen, sqlite3.ErrProtocol, sqlite3.ErrNoLFS,
	},
	suspicious: {
		sqlite3.ErrError, sqlite3.ErrSchema, sqlite3.ErrConstraint, sqlite3.ErrMismatch, sqlite3.ErrMisuse, sqlite3.ErrRange,
		sqlite3.ErrAuth, sqlite3.ErrEmpty, sqlite3.ErrNotFound,
	},
}

// health is how the store fares. Every connection of a Ledger reports to it.
type health struct {
	mu      sync.Mutex
	trouble *Trouble
	reread  bool          // reading or writing has failed: what is on the disk has to be looked at before it is trusted again
	corrupt bool          // what was read made no sense: all of it has to be
	doubt   error         // nobody has looked yet whether it is the file's
	sound   time.Time     // until when the last look at all of it counts, which has found nothing
	changed chan struct{} // closed and replaced when something changes
}

func newHealth() *health { return &health{changed: make(chan struct{})} }

func (h *health) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// see takes note of an error.
func (h *health) see(err error) {
	k := kindOf(err)
	if k == ordinary {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var of sqlite3.Error
	switch {
	case k == suspicious:
		h.suspect(err)
		return
	case k == damaged:
		h.corrupt = true
	case errors.As(err, &of) && of.Code == sqlite3.ErrIoErr:
		h.reread = true
	}
	if h.trouble == nil {
		h.trouble = &Trouble{Err: err}
		h.change()
	}
}

func (h *health) suspect(err error) {
	if h.doubt == nil {
		h.doubt = err
		h.change()
	}
}

// doubts takes note of an error that no write should meet.
func (h *health) doubts(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.suspect(err)
}

// now returns the trouble there is, and what closes when that changes.
func (h *health) now() (*Trouble, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.trouble, h.changed
}

// Trouble returns nil while the ledger can be used, or a *Trouble.
func (l *Ledger) Trouble() error {
	if t, _ := l.health.now(); t != nil {
		return t
	}
	return nil
}

// Changed is closed when the ledger gets into trouble or out of it, or Look has something to look at.
func (l *Ledger) Changed() <-chan struct{} {
	_, changed := l.health.now()
	return changed
}

// usable returns once there is no trouble, or ctx is done: what is due waits with it.
func (l *Ledger) usable(ctx context.Context) error {
	for {
		t, changed := l.health.now()
		if t == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Look gets the ledger out of trouble that has passed, and looks into what is doubtful: errors that no write should meet have
// it checked in full, once in a while. Call it when Changed says so, and every few seconds while there is trouble.
func (l *Ledger) Look(ctx context.Context) {
	moved := l.moved()
	l.health.mu.Lock()
	if moved != nil && l.health.trouble == nil {
		l.health.trouble = &Trouble{Err: moved}
		l.health.change()
	}
	trouble, doubt, reread, corrupt := l.health.trouble, l.health.doubt, l.health.reread, l.health.corrupt
	l.health.mu.Unlock()
	switch {
	case moved != nil:
	case trouble != nil && !trouble.Damaged:
		l.recover(ctx, reread, corrupt)
	case trouble == nil && doubt != nil:
		_ = l.Suspect(ctx, doubt) // who asks for Trouble is told
	}
}

// errMoved says that what is written now is in no file that the next start would find.
var errMoved = errors.New("another file is in place of the ledger's, or none: put back what was there, or stop and start again, which makes " +
	"the ledger anew where it is not there; what was accepted is safe in the spool")

// moved is errMoved where one of the ledger's files is not the one that is open.
func (l *Ledger) moved() error {
	for end, ours := range l.files {
		there, err := os.Stat(l.path + end)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, there) {
			return errMoved
		}
	}
	return nil // also where nothing can be said: who writes is told why
}

// recover ends the trouble where the ledger can be written again, and read where reading had failed. What made no sense is looked at
// before anything is written.
func (l *Ledger) recover(ctx context.Context, reread, corrupt bool) {
	if corrupt {
		if problems, err := l.check(ctx, full); err != nil || l.found(problems) != nil {
			return
		}
	}
	err := l.submit(ctx, &pending{probe: true, do: func(t *tx) error {
		_, err := t.exec("UPDATE meta SET position = position")
		return err
	}})
	if err == nil && reread && !corrupt {
		var problems []string
		problems, err = l.check(ctx, quick)
		err = errors.Join(err, l.found(problems))
	}
	if err != nil {
		return
	}
	l.health.mu.Lock()
	defer l.health.mu.Unlock()
	if t := l.health.trouble; t != nil && !t.Damaged {
		l.health.trouble, l.health.reread, l.health.corrupt = nil, false, false
		l.health.change()
	}
}

// A look at everything counts for a minute, or twenty times as long as it took, whatever is longer: so long are further
// errors of the same kind those of what they are about.
const (
	soundFor  = time.Minute
	soundPart = 20
)

// Suspect finds out whether err, which a write should never meet, comes of what it is about, or of a ledger whose content is
// damaged, which a check finds. It returns the trouble, nil where there is none.
func (l *Ledger) Suspect(ctx context.Context, err error) error {
	if t := l.Trouble(); t != nil {
		return t
	}
	l.looking.Lock() // the others wait for the one that looks
	defer l.looking.Unlock()
	if l.health.isSound() {
		return nil
	}
	if _, broken := l.Check(ctx); broken != nil {
		return broken
	}
	return l.Trouble()
}

// isSound dismisses the doubt where there was a look at everything lately.
func (h *health) isSound() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	sound := time.Now().Before(h.sound)
	if sound {
		h.doubt = nil
	}
	return sound
}

// looked takes note of a look at everything that began at a time and has found nothing.
func (h *health) looked(began time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.doubt, h.sound = nil, began.Add(max(soundFor, soundPart*time.Since(began)))
}
