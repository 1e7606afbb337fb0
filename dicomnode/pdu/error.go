package pdu

import (
	"errors"
	"fmt"
)

// ErrTooLarge says that a PDU announced more bytes than are allowed for its type.
var ErrTooLarge = errors.New("longer than allowed")

// Error is a PDU that cannot be decoded, with the reason for the A-ABORT that answers it.
type Error struct {
	Reason AbortReason
	Err    error
}

// Error says what is wrong with the PDU; it quotes lengths and types, never contents.
func (e *Error) Error() string { return "pdu: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return &Error{Reason: InvalidPDUParameterValue, Err: fmt.Errorf(format, args...)}
}

// speaks is what begins with a byte that is no type of a PDU: wrong ports are how most first associations fail.
var speaks = map[Type]string{0x0B: "HL7 by MLLP", 0x15: "TLS", 0x16: "TLS", 'G': "HTTP", 'H': "HTTP", 'P': "HTTP"}

func unrecognized(t Type) error {
	said := fmt.Sprintf("unrecognised type %02XH", uint8(t))
	if what, ok := speaks[t]; ok {
		said += fmt.Sprintf(", as %s begins: is it the right port?", what)
	}
	return &Error{Reason: UnrecognizedPDU, Err: errors.New(said)}
}
