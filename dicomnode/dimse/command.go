package dimse

import (
	"fmt"
	"slices"

	"endogate/dicomnode/dicom"
)

// Field is the value of Command Field (0000,0100) (PS3.7 E.1). A response is its request with ResponseBit set.
type Field uint16

// Command fields of PS3.7 E.1.
const (
	CStoreRQ       Field = 0x0001
	CGetRQ         Field = 0x0010
	CFindRQ        Field = 0x0020
	CMoveRQ        Field = 0x0021
	CEchoRQ        Field = 0x0030
	NEventReportRQ Field = 0x0100
	NGetRQ         Field = 0x0110
	NSetRQ         Field = 0x0120
	NActionRQ      Field = 0x0130
	NCreateRQ      Field = 0x0140
	NDeleteRQ      Field = 0x0150
	CCancelRQ      Field = 0x0FFF

	ResponseBit Field = 0x8000
)

var fieldNames = map[Field]string{
	CStoreRQ: "C-STORE", CGetRQ: "C-GET", CFindRQ: "C-FIND", CMoveRQ: "C-MOVE", CEchoRQ: "C-ECHO",
	NEventReportRQ: "N-EVENT-REPORT", NGetRQ: "N-GET", NSetRQ: "N-SET", NActionRQ: "N-ACTION",
	NCreateRQ: "N-CREATE", NDeleteRQ: "N-DELETE", CCancelRQ: "C-CANCEL",
}

// String returns the name of the message, such as C-STORE-RQ.
func (f Field) String() string {
	name, ok := fieldNames[f&^ResponseBit]
	switch {
	case !ok:
		return fmt.Sprintf("command %04XH", uint16(f))
	case f&ResponseBit != 0:
		return name + "-RSP"
	}
	return name + "-RQ"
}

// Known reports whether PS3.7 E.1 defines the message.
func (f Field) Known() bool {
	_, ok := fieldNames[f&^ResponseBit]
	return ok && f != CCancelRQ|ResponseBit
}

// Composite reports whether the message is of a C-service.
func (f Field) Composite() bool { return f.is(CStoreRQ, CGetRQ, CFindRQ, CMoveRQ, CEchoRQ, CCancelRQ) }

// AnsweredBare reports whether the response to the message never has a data set, whatever it says (PS3.7 9.3.1.2, 9.3.5.2).
func (f Field) AnsweredBare() bool { return f.is(CStoreRQ, CEchoRQ) }

func (f Field) isResponse() bool { return f&ResponseBit != 0 }

func (f Field) is(any ...Field) bool { return slices.Contains(any, f&^ResponseBit) }

// Priority is the value of Priority (0000,0700).
type Priority uint16

// Priorities of PS3.7 E.1.
const (
	PriorityMedium Priority = 0x0000
	PriorityHigh   Priority = 0x0001
	PriorityLow    Priority = 0x0002
)

// Command is a command set: *Request or *Response.
type Command interface {
	Field() Field
	elements(w walker)
}

// Request is the command set of a request (PS3.7 9.3 and 10.3). Fields that its message does not have are ignored.
type Request struct {
	CommandField   Field
	MessageID      uint16    // of C-CANCEL-RQ: of the request that is to be cancelled
	SOPClassUID    dicom.UID // Affected SOP Class UID; Requested SOP Class UID of N-GET, N-SET, N-ACTION and N-DELETE
	SOPInstanceUID dicom.UID // Affected, or Requested, SOP Instance UID
	Priority       Priority  // of C-STORE, C-FIND, C-GET and C-MOVE
	HasDataset     bool      // a data set follows

	MoveDestination                      string // of C-MOVE
	MoveOriginatorApplicationEntityTitle string // of a C-STORE that is part of a C-MOVE
	MoveOriginatorMessageID              uint16

	EventTypeID             uint16      // of N-EVENT-REPORT
	ActionTypeID            uint16      // of N-ACTION
	AttributeIdentifierList []dicom.Tag // of N-GET; none asks for all
}

// Response is the command set of a response (PS3.7 9.3 and 10.3). Fields that its message does not have are ignored.
type Response struct {
	CommandField              Field // of the request, with ResponseBit
	MessageIDBeingRespondedTo uint16
	SOPClassUID               dicom.UID // Affected SOP Class UID
	SOPInstanceUID            dicom.UID // Affected SOP Instance UID
	Status                    Status
	HasDataset                bool // a data set follows

	ErrorComment            string
	ErrorID                 uint16
	OffendingElement        []dicom.Tag
	AttributeIdentifierList []dicom.Tag // what status 0105 to 0107, 0120 or 0121 is about

	EventTypeID   uint16         // of N-EVENT-REPORT
	ActionTypeID  uint16         // of N-ACTION
	SubOperations *SubOperations // of C-GET and C-MOVE
}

// SubOperations counts the C-STORE sub-operations of a C-GET or C-MOVE. What remains is said while they go on, and
// when they were cancelled (PS3.7 9.1.3.1.6, 9.1.4.1.7).
type SubOperations struct{ Remaining, Completed, Failed, Warning uint16 }

// Field returns the command field.
func (c *Request) Field() Field { return c.CommandField }

// Field returns the command field.
func (c *Response) Field() Field { return c.CommandField }

// Answer returns the response to c with the status.
func (c *Request) Answer(s Status) *Response {
	return &Response{
		CommandField: c.CommandField | ResponseBit, MessageIDBeingRespondedTo: c.MessageID,
		SOPClassUID: c.SOPClassUID, SOPInstanceUID: c.SOPInstanceUID, Status: s,
	}
}

// walker takes the elements of a command set, to encode or to decode them: each message is described once for both. An element that is empty, or 0 if it may be left out, is not sent.
type walker interface {
	uint16(tag dicom.Tag, v *uint16)
	optional(tag dicom.Tag, v *uint16)
	uid(tag dicom.Tag, v *dicom.UID)
	text(tag dicom.Tag, v *string)
	tags(tag dicom.Tag, v *[]dicom.Tag)
	dataset(follows *bool)
	subOperations(there bool) bool // whether their numbers are in the message; when it is encoded: there
}

func (c *Request) elements(w walker) {
	f := c.CommandField
	class, instance := tagAffectedSOPClassUID, tagAffectedSOPInstanceUID
	if f.is(NGetRQ, NSetRQ, NActionRQ, NDeleteRQ) {
		class, instance = tagRequestedSOPClassUID, tagRequestedSOPInstanceUID
	}
	messageID := tagMessageID
	if f == CCancelRQ {
		messageID = tagMessageIDBeingRespondedTo
	} else {
		w.uid(class, &c.SOPClassUID)
	}
	w.uint16(tagCommandField, (*uint16)(&c.CommandField))
	w.uint16(messageID, &c.MessageID)
	if f == CMoveRQ {
		w.text(tagMoveDestination, &c.MoveDestination)
	}
	if f.is(CStoreRQ, CFindRQ, CGetRQ, CMoveRQ) {
		w.uint16(tagPriority, (*uint16)(&c.Priority))
	}
	w.dataset(&c.HasDataset)
	switch f {
	case CStoreRQ:
		w.uid(instance, &c.SOPInstanceUID)
		w.text(tagMoveOriginatorAETitle, &c.MoveOriginatorApplicationEntityTitle)
		if c.MoveOriginatorApplicationEntityTitle != "" {
			w.uint16(tagMoveOriginatorMessageID, &c.MoveOriginatorMessageID)
		}
	case NEventReportRQ:
		w.uid(instance, &c.SOPInstanceUID)
		w.uint16(tagEventTypeID, &c.EventTypeID)
	case NGetRQ:
		w.uid(instance, &c.SOPInstanceUID)
		w.tags(tagAttributeIdentifierList, &c.AttributeIdentifierList)
	case NActionRQ:
		w.uid(instance, &c.SOPInstanceUID)
		w.uint16(tagActionTypeID, &c.ActionTypeID)
	case NSetRQ, NCreateRQ, NDeleteRQ:
		w.uid(instance, &c.SOPInstanceUID)
	}
}

func (c *Response) elements(w walker) {
	f := c.CommandField
	w.uid(tagAffectedSOPClassUID, &c.SOPClassUID)
	w.uint16(tagCommandField, (*uint16)(&c.CommandField))
	w.uint16(tagMessageIDBeingRespondedTo, &c.MessageIDBeingRespondedTo)
	w.dataset(&c.HasDataset)
	w.uint16(tagStatus, (*uint16)(&c.Status))
	w.tags(tagOffendingElement, &c.OffendingElement)
	w.text(tagErrorComment, &c.ErrorComment)
	w.optional(tagErrorID, &c.ErrorID)
	if !f.is(CEchoRQ, CFindRQ, CGetRQ, CMoveRQ) {
		w.uid(tagAffectedSOPInstanceUID, &c.SOPInstanceUID)
	}
	if f.is(NEventReportRQ) {
		w.optional(tagEventTypeID, &c.EventTypeID)
	}
	w.tags(tagAttributeIdentifierList, &c.AttributeIdentifierList)
	if f.is(NActionRQ) {
		w.optional(tagActionTypeID, &c.ActionTypeID)
	}
	if f.is(CGetRQ, CMoveRQ) {
		c.subOperations(w)
	}
}

func (c *Response) subOperations(w walker) {
	if !w.subOperations(c.SubOperations != nil) {
		return
	}
	if c.SubOperations == nil {
		c.SubOperations = new(SubOperations)
	}
	if s := c.Status.Class(); s == ClassPending || s == ClassCancel {
		w.uint16(tagRemainingSuboperations, &c.SubOperations.Remaining)
	}
	w.uint16(tagCompletedSuboperations, &c.SubOperations.Completed)
	w.uint16(tagFailedSuboperations, &c.SubOperations.Failed)
	w.uint16(tagWarningSuboperations, &c.SubOperations.Warning)
}
