package outbox

import (
	"errors"

	"endogate/dicomnode/dimse"
)

// Class says what a failed delivery calls for.
type Class int

// The classes. The zero value is the careful one.
const (
	Temporary Class = iota // try this delivery again later; others go on
	Down                   // the destination cannot be reached, or takes nothing from us: all of its deliveries wait
	Permanent              // trying again changes nothing: park
	Refused                // the peer does not take this kind of object: send the alternate, or ask again in a day
)

// String names the class in lower case.
func (c Class) String() string {
	return [...]string{"temporary", "down", "permanent", "refused"}[c]
}

// Error is why a delivery failed. Reason is stored and shown: it holds no patient data.
type Error struct {
	Class    Class
	Status   dimse.Status // the peer's answer, when Answered
	Answered bool
	Reason   string
	Err      error // for the log; may be nil
}

// Error returns the reason.
func (e *Error) Error() string { return "outbox: " + e.Reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// asError gives err a class; what has none is temporary, and its text is not stored.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Class: Temporary, Reason: "not sent; the log has the cause", Err: err}
}

// classOf is what a status of C-STORE means for the delivery, and whether the peer has the instance. Warnings are
// successes (PS3.4 table B.2-1). So is a duplicate: an earlier try has arrived, and its answer was lost.
func classOf(s dimse.Status) (c Class, delivered bool) {
	switch {
	case s.Class() == dimse.ClassSuccess, s.Class() == dimse.ClassWarning, s == dimse.DuplicateSOPInstance:
		return 0, true
	case s.Temporary(), s.Class() == dimse.ClassCancel, s == dimse.DuplicateInvocation:
		return Temporary, false
	case s == dimse.NotAuthorized: // we are not, whatever the object
		return Down, false
	case s == dimse.SOPClassNotSupported:
		return Refused, false
	}
	return Permanent, false
}
