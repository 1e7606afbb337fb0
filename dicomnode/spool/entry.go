package spool

import (
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/google/uuid"

	"endogate/dicomnode/dicom"
)

// Kind says where an entry came from.
type Kind string

// The kinds of entries.
const (
	Received Kind = "received" // from a peer, by C-STORE
	Derived  Kind = "derived"  // made here: heatmaps, structured reports, key object selections
	Action   Kind = "action"   // what somebody did, or a peer was told: its Record says it, its bytes may have more
	Message  Kind = "message"  // bytes of another protocol, such as HL7 or FHIR
)

// DataSet reports whether entries of the kind are DICOM data sets.
func (k Kind) DataSet() bool { return k == Received || k == Derived }

// MaxRecord is how many bytes an entry's Record may have. What is longer belongs into its bytes.
const MaxRecord = 64 << 10

// Entry is one data set, action or message in the spool with what was known when it was stored.
type Entry struct {
	ID   string `json:"id"`            // 26 lower-case letters and digits; sorts by the time Create was called
	Seq  uint64 `json:"seq,omitempty"` // place in the log, from 1
	Kind Kind   `json:"kind"`

	// Of a data set.
	Header            dicom.Header `json:"header,omitzero"`
	TransferSyntaxUID dicom.UID    `json:"transfer_syntax_uid,omitempty"`
	CallingAE         string       `json:"calling_ae,omitempty"`
	CalledAE          string       `json:"called_ae,omitempty"`
	User              string       `json:"user,omitempty"` // whom the calling one has proved to be

	// Of an action or message.
	MediaType string          `json:"media_type,omitempty"` // of the bytes, such as x-application/hl7-v2+er7
	Record    json.RawMessage `json:"record,omitempty"`     // the kind's own header: JSON, at most MaxRecord bytes

	RemoteAddr string    `json:"remote_addr,omitempty"`
	At         time.Time `json:"at"`
	Size       int64     `json:"size"`   // bytes of the data set or message
	Digest     string    `json:"digest"` // SHA-256 of these bytes, 64 hex digits
}

// check returns an error for an entry that has what its kind has not.
func (e Entry) check() error {
	switch {
	case e.Kind == "":
		return errors.New("entry has no kind")
	case e.Kind.DataSet() && (e.Record != nil || e.MediaType != ""):
		return fmt.Errorf("%s entry has a record or media type: those are of actions and messages", e.Kind)
	case !e.Kind.DataSet() && (e.Header != dicom.Header{} || e.TransferSyntaxUID != ""):
		return fmt.Errorf("%s entry has a header or transfer syntax: those are of data sets", e.Kind)
	case len(e.Record) > MaxRecord:
		return fmt.Errorf("record has %d bytes, at most %d fit: put them into the entry's bytes", len(e.Record), MaxRecord)
	}
	return nil
}

var (
	// ErrFull says that the disk has less room than the reserve. It wraps syscall.ENOSPC.
	ErrFull = fmt.Errorf("spool: less room than the reserve; free disk space or lower the reserve: %w", syscall.ENOSPC)
	// ErrNotFound says that there is no entry of that ID, or that it was released.
	ErrNotFound = errors.New("spool: no such entry")
	// ErrClosed says that the spool was closed, or that the writer has already committed or aborted.
	ErrClosed = errors.New("spool: closed")
	// ErrLocked says that another process holds the folder.
	ErrLocked = errors.New("spool: folder is in use by another process")
	// ErrCorrupt says that the bytes on disk are not those that were committed.
	ErrCorrupt = errors.New("spool: bytes on disk differ from those committed; restore the entry from a backup or its origin")
	// ErrGone says of a data set whose record is whole that its large file was not there when the spool was opened: it was released
	// before, or somebody removed it. It is ErrCorrupt besides.
	ErrGone = errors.New("spool: there is no file of this data set")
)

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID returns a name that sorts by time, which keeps indexes built on it compact.
func newID() (string, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return idEncoding.EncodeToString(u[:]), nil
}

// Came returns when Create was called for the entry id.
func Came(id string) (time.Time, error) {
	b, err := idEncoding.DecodeString(id)
	if err != nil {
		return time.Time{}, err
	}
	u, err := uuid.FromBytes(b)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(u.Time().UnixTime()).UTC(), nil
}

// full adds ErrFull to an error that says the disk is full.
func full(err error) error {
	if !errors.Is(err, ErrFull) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}
