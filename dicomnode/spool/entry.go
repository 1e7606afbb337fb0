package spool

import (
	"encoding/base32"
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
)

// Entry is one data set in the spool with what was known when it was stored.
type Entry struct {
	ID                string       `json:"id"`            // 26 lower-case letters and digits; sorts by the time Create was called
	Seq               uint64       `json:"seq,omitempty"` // place in the log, from 1
	Kind              Kind         `json:"kind"`
	Header            dicom.Header `json:"header"`
	TransferSyntaxUID dicom.UID    `json:"transfer_syntax_uid"`
	CallingAE         string       `json:"calling_ae,omitempty"`
	CalledAE          string       `json:"called_ae,omitempty"`
	RemoteAddr        string       `json:"remote_addr,omitempty"`
	At                time.Time    `json:"at"`
	Size              int64        `json:"size"`   // bytes of the data set
	Digest            string       `json:"digest"` // SHA-256 of the data set's bytes, 64 hex digits
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
)

// Usage tells how full a spool is.
type Usage struct {
	Entries int   // entries held
	Bytes   int64 // bytes of their data sets
	Free    int64 // bytes the file system has left for us
}

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID returns a name that sorts by time, which keeps indexes built on it compact.
func newID() (string, error) {
	u, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	return idEncoding.EncodeToString(u[:]), nil
}

// full adds ErrFull to an error that says the disk is full.
func full(err error) error {
	if !errors.Is(err, ErrFull) && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}
