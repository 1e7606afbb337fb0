package pdu

import "fmt"

// AbortSource says who aborted (PS3.8 table 9-26).
type AbortSource uint8

// Abort sources of PS3.8 table 9-26.
const (
	AbortServiceUser     AbortSource = 0
	AbortServiceProvider AbortSource = 2
)

// AbortReason says why the service provider aborted (PS3.8 table 9-26); it means nothing for the service user.
type AbortReason uint8

// Abort reasons of PS3.8 table 9-26.
const (
	ReasonNotSpecified       AbortReason = 0
	UnrecognizedPDU          AbortReason = 1
	UnexpectedPDU            AbortReason = 2
	UnrecognizedPDUParameter AbortReason = 4
	UnexpectedPDUParameter   AbortReason = 5
	InvalidPDUParameterValue AbortReason = 6
)

// Abort is the A-ABORT PDU (PS3.8 9.3.8).
type Abort struct {
	Source AbortSource
	Reason AbortReason
}

// Type returns TypeAbort.
func (*Abort) Type() Type          { return TypeAbort }
func (p *Abort) encode(e *encoder) { e.bytes(0, 0, byte(p.Source), byte(p.Reason)) }

// String names source and reason with their numbers.
func (p *Abort) String() string {
	if p.Source == AbortServiceUser {
		return "by the service user"
	}
	return fmt.Sprintf("by the service provider: %s (%d/%d)", p.Reason, p.Source, p.Reason)
}

// String returns the wording of PS3.8 table 9-26.
func (r AbortReason) String() string {
	switch r {
	case ReasonNotSpecified:
		return "reason not specified"
	case UnrecognizedPDU:
		return "unrecognised PDU"
	case UnexpectedPDU:
		return "unexpected PDU"
	case UnrecognizedPDUParameter:
		return "unrecognised PDU parameter"
	case UnexpectedPDUParameter:
		return "unexpected PDU parameter"
	case InvalidPDUParameterValue:
		return "invalid PDU parameter value"
	}
	return fmt.Sprintf("reserved reason %d", uint8(r))
}
