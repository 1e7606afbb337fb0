package dimse

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
)

// Error is an operation that ended with a status of class failure, ours or the peer's.
type Error struct {
	Status  Status
	Comment string // Error Comment (0000,0902): goes on the wire, so no patient data; from a peer, not to be trusted
	Err     error  // for the log; never goes on the wire
}

// Error quotes the status and the cause. It leaves out the comment, which a peer may have filled with anything.
func (e *Error) Error() string {
	if e.Err == nil {
		return "dimse: status " + e.Status.String()
	}
	return "dimse: status " + e.Status.String() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool { return e.Status.Temporary() }

// StatusOf returns the status that answers a request whose handling ended with err: Success for nil, the
// status of an *Error, OutOfResources for what the system refuses, as with a full or read-only disk, without the right to write or with
// used-up files and memory, and for a deadline (the peer will try again), ProcessingFailure for the rest.
func StatusOf(err error) Status {
	var e *Error
	switch {
	case err == nil:
		return Success
	case errors.As(err, &e):
		return e.Status
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, os.ErrDeadlineExceeded):
		return OutOfResources
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		return OutOfResources
	}
	return ProcessingFailure
}

// CommentOf returns the Error Comment that goes with StatusOf(err): the comment of an *Error, else nothing,
// because the text of an error may hold paths and names.
func CommentOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return comment(e.Comment)
	}
	return ""
}

// comment makes s fit VR LO in the default character repertoire: 64 characters, no backslash, no controls.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '?'
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), 64)])
}
