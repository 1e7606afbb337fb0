package dimse

import (
	"fmt"

	"endogate/dicomnode/dicom"
)

// Field is the value of Command Field (0000,0100) (PS3.7 E.1). A response is its request with ResponseBit set.
type Field uint16

// Command fields of PS3.7 E.1.
const (
	CStoreRQ       Field = 0x0001
	CStoreRSP      Field = 0x8001
	CGetRQ         Field = 0x0010
	CFindRQ        Field = 0x0020
	CMoveRQ        Field = 0x0021
	CEchoRQ        Field = 0x0030
	CEchoRSP       Field = 0x8030
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

// Priority is the value of Priority (0000,0700).
type Priority uint16

// Priorities of PS3.7 E.1.
const (
	PriorityMedium Priority = 0x0000
	PriorityHigh   Priority = 0x0001
	PriorityLow    Priority = 0x0002
)

// Command is one of *EchoRQ, *EchoRSP, *StoreRQ, *StoreRSP and *Other.
type Command interface {
	Field() Field
	HasDataset() bool // whether a data set follows
	encode(e *encoder)
}

// EchoRQ is the C-ECHO-RQ command set (PS3.7 9.3.5.1).
type EchoRQ struct {
	MessageID           uint16
	AffectedSOPClassUID dicom.UID
}

// EchoRSP is the C-ECHO-RSP command set (PS3.7 9.3.5.2).
type EchoRSP struct {
	MessageIDBeingRespondedTo uint16
	AffectedSOPClassUID       dicom.UID
	Status                    Status
	ErrorComment              string
}

// StoreRQ is the C-STORE-RQ command set (PS3.7 9.3.1.1). A data set follows it.
type StoreRQ struct {
	MessageID                            uint16
	Priority                             Priority
	AffectedSOPClassUID                  dicom.UID
	AffectedSOPInstanceUID               dicom.UID
	MoveOriginatorApplicationEntityTitle string // empty unless the C-STORE is part of a C-MOVE
	MoveOriginatorMessageID              uint16
	NoDataset                            bool // a peer's mistake: the request announces no data set
}

// StoreRSP is the C-STORE-RSP command set (PS3.7 9.3.1.2).
type StoreRSP struct {
	MessageIDBeingRespondedTo uint16
	AffectedSOPClassUID       dicom.UID
	AffectedSOPInstanceUID    dicom.UID
	Status                    Status
	ErrorComment              string
}

// Other is any other command set, with what is needed to refuse it.
type Other struct {
	CommandField        Field
	MessageID           uint16 // of a request; of a response, Message ID Being Responded To
	AffectedSOPClassUID dicom.UID
	Dataset             bool
	Status              Status // of a response
	ErrorComment        string // of a response
}

// Field returns CEchoRQ.
func (*EchoRQ) Field() Field { return CEchoRQ }

// Field returns CEchoRSP.
func (*EchoRSP) Field() Field { return CEchoRSP }

// Field returns CStoreRQ.
func (*StoreRQ) Field() Field { return CStoreRQ }

// Field returns CStoreRSP.
func (*StoreRSP) Field() Field { return CStoreRSP }

// Field returns the command field.
func (c *Other) Field() Field { return c.CommandField }

// HasDataset returns false.
func (*EchoRQ) HasDataset() bool { return false }

// HasDataset returns false.
func (*EchoRSP) HasDataset() bool { return false }

// HasDataset returns true unless the peer left the data set out.
func (c *StoreRQ) HasDataset() bool { return !c.NoDataset }

// HasDataset returns false.
func (*StoreRSP) HasDataset() bool { return false }

// HasDataset reports whether a data set follows.
func (c *Other) HasDataset() bool { return c.Dataset }

// Refuse returns the response that refuses c, such as with UnrecognizedOperation. C-CANCEL-RQ and responses have none.
func (c *Other) Refuse(s Status) (*Other, bool) {
	if c.CommandField == CCancelRQ || c.CommandField&ResponseBit != 0 {
		return nil, false
	}
	return &Other{
		CommandField: c.CommandField | ResponseBit, MessageID: c.MessageID,
		AffectedSOPClassUID: c.AffectedSOPClassUID, Status: s,
	}, true
}
