package dimse

import "fmt"

// Status is the value of Status (0000,0900).
type Status uint16

// Statuses of PS3.7 annex C, of the Storage Service Class (PS3.4 B.2.3) and of Query/Retrieve (PS3.4 C.4).
const (
	Success Status = 0x0000

	AttributeListWarning               Status = 0x0107
	AttributeValueOutOfRange           Status = 0x0116
	CoercionOfDataElements             Status = 0xB000
	ElementsDiscarded                  Status = 0xB006
	DataSetDoesNotMatchSOPClassWarning Status = 0xB007

	NoSuchAttribute             Status = 0x0105
	InvalidAttributeValue       Status = 0x0106
	ProcessingFailure           Status = 0x0110
	DuplicateSOPInstance        Status = 0x0111
	NoSuchSOPInstance           Status = 0x0112
	NoSuchEventType             Status = 0x0113
	NoSuchArgument              Status = 0x0114
	InvalidArgumentValue        Status = 0x0115
	InvalidSOPInstance          Status = 0x0117
	NoSuchSOPClass              Status = 0x0118
	ClassInstanceConflict       Status = 0x0119
	MissingAttribute            Status = 0x0120
	MissingAttributeValue       Status = 0x0121
	SOPClassNotSupported        Status = 0x0122
	NoSuchActionType            Status = 0x0123
	NotAuthorized               Status = 0x0124
	DuplicateInvocation         Status = 0x0210
	UnrecognizedOperation       Status = 0x0211
	MistypedArgument            Status = 0x0212
	ResourceLimitation          Status = 0x0213
	OutOfResources              Status = 0xA700
	CannotCountMatches          Status = 0xA701 // C-MOVE, C-GET
	CannotPerformSubOperations  Status = 0xA702 // C-MOVE, C-GET
	MoveDestinationUnknown      Status = 0xA801
	DataSetDoesNotMatchSOPClass Status = 0xA900
	CannotUnderstand            Status = 0xC000

	Canceled        Status = 0xFE00
	PendingMatches  Status = 0xFF00
	PendingWarnings Status = 0xFF01
)

var statusNames = map[Status]string{
	Success:                            "success",
	AttributeListWarning:               "attribute list warning",
	AttributeValueOutOfRange:           "attribute value out of range",
	CoercionOfDataElements:             "coercion of data elements",
	ElementsDiscarded:                  "elements discarded",
	DataSetDoesNotMatchSOPClassWarning: "data set does not match SOP class (warning)",
	NoSuchAttribute:                    "no such attribute",
	InvalidAttributeValue:              "invalid attribute value",
	ProcessingFailure:                  "processing failure",
	DuplicateSOPInstance:               "duplicate SOP instance",
	NoSuchSOPInstance:                  "no such SOP instance",
	NoSuchEventType:                    "no such event type",
	NoSuchArgument:                     "no such argument",
	InvalidArgumentValue:               "invalid argument value",
	InvalidSOPInstance:                 "invalid SOP instance",
	NoSuchSOPClass:                     "no such SOP class",
	ClassInstanceConflict:              "class-instance conflict",
	MissingAttribute:                   "missing attribute",
	MissingAttributeValue:              "missing attribute value",
	SOPClassNotSupported:               "SOP class not supported",
	NoSuchActionType:                   "no such action type",
	NotAuthorized:                      "not authorised",
	DuplicateInvocation:                "duplicate invocation",
	UnrecognizedOperation:              "unrecognised operation",
	MistypedArgument:                   "mistyped argument",
	ResourceLimitation:                 "resource limitation",
	OutOfResources:                     "out of resources",
	CannotCountMatches:                 "out of resources: cannot count matches",
	CannotPerformSubOperations:         "out of resources: cannot perform sub-operations",
	MoveDestinationUnknown:             "move destination unknown",
	DataSetDoesNotMatchSOPClass:        "data set does not match SOP class",
	CannotUnderstand:                   "cannot understand",
	Canceled:                           "cancelled",
	PendingMatches:                     "pending",
	PendingWarnings:                    "pending, optional keys not supported",
}

// String returns the code and its meaning, such as "A700 out of resources".
func (s Status) String() string {
	name, ok := statusNames[s]
	if !ok && s.Class() == ClassFailure {
		name, ok = statusNames[s&0xFF00] // A7xx, A9xx and Cxxx leave the low byte to the implementation
		if s>>12 == 0xC {
			name, ok = statusNames[CannotUnderstand], true
		}
	}
	if !ok {
		name = s.Class().String()
	}
	return fmt.Sprintf("%04X %s", uint16(s), name)
}

// Class is what a status means for the operation (PS3.7 C.1).
type Class uint8

// Status classes of PS3.7 C.1.
const (
	ClassSuccess Class = iota
	ClassWarning
	ClassFailure
	ClassCancel
	ClassPending
)

// String returns the class in lower case.
func (c Class) String() string {
	return [...]string{"success", "warning", "failure", "cancel", "pending"}[c]
}

// Class returns the class of s. What no table names is a failure.
func (s Status) Class() Class {
	switch {
	case s == Success:
		return ClassSuccess
	case s == 0x0001, s>>12 == 0xB, s == AttributeListWarning, s == AttributeValueOutOfRange:
		return ClassWarning
	case s == Canceled:
		return ClassCancel
	case s == PendingMatches, s == PendingWarnings:
		return ClassPending
	}
	return ClassFailure
}

// Temporary reports whether the same request may succeed later: out of resources (A7xx),
// processing failure and resource limitation.
func (s Status) Temporary() bool {
	return s>>8 == 0xA7 || s == ProcessingFailure || s == ResourceLimitation
}
