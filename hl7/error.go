package hl7

import (
	"fmt"
	"maps"
	"slices"
)

// ErrorCode is a code of table 0357, message error condition codes.
type ErrorCode int

// The codes of table 0357 (HL7 2.5.1 2.15.5.3).
const (
	SegmentSequence         ErrorCode = 100
	RequiredFieldMissing    ErrorCode = 101
	DataType                ErrorCode = 102
	TableValueNotFound      ErrorCode = 103
	UnsupportedMessageType  ErrorCode = 200
	UnsupportedEventCode    ErrorCode = 201
	UnsupportedProcessingID ErrorCode = 202
	UnsupportedVersionID    ErrorCode = 203
	UnknownKeyIdentifier    ErrorCode = 204
	DuplicateKeyIdentifier  ErrorCode = 205
	ApplicationRecordLocked ErrorCode = 206
	ApplicationInternal     ErrorCode = 207
)

var errorTexts = map[ErrorCode]string{
	SegmentSequence: "Segment sequence error", RequiredFieldMissing: "Required field missing", DataType: "Data type error",
	TableValueNotFound: "Table value not found", UnsupportedMessageType: "Unsupported message type",
	UnsupportedEventCode: "Unsupported event code", UnsupportedProcessingID: "Unsupported processing id",
	UnsupportedVersionID: "Unsupported version id", UnknownKeyIdentifier: "Unknown key identifier",
	DuplicateKeyIdentifier: "Duplicate key identifier", ApplicationRecordLocked: "Application record locked",
	ApplicationInternal: "Application internal error",
}

// ErrorCodes are all, in order.
func ErrorCodes() []ErrorCode { return slices.Sorted(maps.Keys(errorTexts)) }

// String returns the code's text in table 0357.
func (c ErrorCode) String() string { return errorTexts[c] }

// Rejected reports whether the fault is of the message's kind and not of its content: AR is due, not AE (table 0008).
func (c ErrorCode) Rejected() bool { return c >= UnsupportedMessageType && c <= UnsupportedVersionID }

// Error is what is wrong with a message, as an answer may say it: it never has anything of the content.
type Error struct {
	Code ErrorCode
	Path string // where, as Get takes it, or a segment's name; empty where it is nowhere
	Text string // what and what to do, for the engineer at the sender
}

// Error says what is wrong and where.
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("hl7: %s", e.Text)
	}
	return fmt.Sprintf("hl7: %s: %s", e.Path, e.Text)
}

// ErrBatch is what Parse gives for batches and files of messages (FHS, BHS; HL7 2.5.1 2.10.3): Error's Code is
// UnsupportedMessageType.
var ErrBatch = &Error{Code: UnsupportedMessageType, Text: "a batch (FHS, BHS) is not taken: send each message in a frame of its own"}

// ErrNoMessage is what Parse gives where no message header can be read, so that nobody can be answered by its content. Error's
// Code is UnsupportedMessageType.
var ErrNoMessage = &Error{Code: UnsupportedMessageType, Text: "no message: it does not begin with MSH and its delimiters, different ones and none of them a letter, digit or control character"}
