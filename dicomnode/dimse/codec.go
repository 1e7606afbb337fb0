package dimse

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"endogate/dicomnode/dicom"
)

// MaxCommandLength is the longest command set that is read, in bytes.
const MaxCommandLength = 64 << 10

// Command elements of PS3.7 E.1 that are read or written.
const (
	tagGroupLength               dicom.Tag = 0x00000000
	tagAffectedSOPClassUID       dicom.Tag = 0x00000002
	tagRequestedSOPClassUID      dicom.Tag = 0x00000003
	tagCommandField              dicom.Tag = 0x00000100
	tagMessageID                 dicom.Tag = 0x00000110
	tagMessageIDBeingRespondedTo dicom.Tag = 0x00000120
	tagPriority                  dicom.Tag = 0x00000700
	tagCommandDataSetType        dicom.Tag = 0x00000800
	tagStatus                    dicom.Tag = 0x00000900
	tagErrorComment              dicom.Tag = 0x00000902
	tagAffectedSOPInstanceUID    dicom.Tag = 0x00001000
	tagMoveOriginatorAETitle     dicom.Tag = 0x00001030
	tagMoveOriginatorMessageID   dicom.Tag = 0x00001031
	noDataset                    uint16    = 0x0101 // Command Data Set Type (PS3.7 E.1); anything else is a data set
	withDataset                  uint16    = 0x0001
)

// ErrMalformed is a command set that breaks PS3.7 6.3.1 or lacks an element without which it cannot be answered.
var ErrMalformed = errors.New("dimse: malformed command set")

// Append appends the command set c in Implicit VR Little Endian, its group length first (PS3.7 6.3.1).
func Append(b []byte, c Command) []byte {
	e := encoder{b: b}
	e.uint32(tagGroupLength, 0)
	start := len(e.b)
	c.encode(&e)
	binary.LittleEndian.PutUint32(e.b[start-4:], uint32(len(e.b)-start))
	return e.b
}

// Decode decodes a whole command set. Errors wrap ErrMalformed and quote tags and lengths, never values.
func Decode(b []byte) (Command, error) {
	s, err := parse(b)
	if err != nil {
		return nil, err
	}
	field, ok := s.uint16(tagCommandField)
	if !ok {
		return nil, malformed("no Command Field")
	}
	id := tagMessageID
	if Field(field)&ResponseBit != 0 || Field(field) == CCancelRQ {
		id = tagMessageIDBeingRespondedTo
	}
	messageID, ok := s.uint16(id)
	if !ok {
		return nil, malformed("%s without its message ID %s", Field(field), id)
	}
	status, ok := s.uint16(tagStatus)
	if !ok && Field(field)&ResponseBit != 0 {
		return nil, malformed("%s without a status", Field(field))
	}
	return s.command(Field(field), messageID, Status(status)), nil
}

func (s set) command(field Field, messageID uint16, status Status) Command {
	class, instance := s.uid(tagAffectedSOPClassUID), s.uid(tagAffectedSOPInstanceUID)
	switch field {
	case CEchoRQ:
		return &EchoRQ{messageID, class}
	case CEchoRSP:
		return &EchoRSP{messageID, class, status, s.text(tagErrorComment)}
	case CStoreRSP:
		return &StoreRSP{messageID, class, instance, status, s.text(tagErrorComment)}
	case CStoreRQ:
		priority, _ := s.uint16(tagPriority)
		moveID, _ := s.uint16(tagMoveOriginatorMessageID)
		return &StoreRQ{
			MessageID: messageID, Priority: Priority(priority), AffectedSOPClassUID: class, AffectedSOPInstanceUID: instance,
			MoveOriginatorApplicationEntityTitle: s.text(tagMoveOriginatorAETitle), MoveOriginatorMessageID: moveID,
			NoDataset: !s.dataset(),
		}
	}
	if class == "" { // of N-GET, N-SET, N-ACTION and N-DELETE
		class = s.uid(tagRequestedSOPClassUID)
	}
	other := &Other{CommandField: field, MessageID: messageID, AffectedSOPClassUID: class, Dataset: s.dataset()}
	if field&ResponseBit != 0 {
		other.Status, other.ErrorComment = status, s.text(tagErrorComment)
	}
	return other
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// set is the elements of a command set, as they lie in the message; there are few, so it is searched in order.
type set []element

type element struct {
	tag   dicom.Tag
	value []byte
}

// maxElements bounds the elements of a command set; PS3.7 E defines no message with more than twenty.
const maxElements = 128

func parse(b []byte) (set, error) {
	s := make(set, 0, 16)
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, malformed("%d bytes after the last element", len(b))
		}
		tag := dicom.Tag(binary.LittleEndian.Uint16(b))<<16 | dicom.Tag(binary.LittleEndian.Uint16(b[2:]))
		n := binary.LittleEndian.Uint32(b[4:])
		switch {
		case tag.Group() != 0:
			return nil, malformed("element %s is not of group 0000", tag)
		case uint64(n) > uint64(len(b)-8):
			return nil, malformed("element %s: %d bytes with %d left", tag, n, len(b)-8)
		case len(s) == maxElements:
			return nil, malformed("more than %d elements", maxElements)
		}
		if _, ok := s.find(tag); ok {
			return nil, malformed("element %s twice", tag)
		}
		s = append(s, element{tag, b[8 : 8+n]})
		b = b[8+n:]
	}
	return s, nil
}

func (s set) find(tag dicom.Tag) ([]byte, bool) {
	for _, e := range s {
		if e.tag == tag {
			return e.value, true
		}
	}
	return nil, false
}

func (s set) uint16(tag dicom.Tag) (uint16, bool) {
	v, ok := s.find(tag)
	if !ok || len(v) != 2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(v), true
}

func (s set) text(tag dicom.Tag) string {
	v, _ := s.find(tag)
	return strings.Trim(string(v), " \x00")
}

func (s set) uid(tag dicom.Tag) dicom.UID { return dicom.UID(s.text(tag)) }

// dataset reports whether a data set follows. Without Command Data Set Type none does.
func (s set) dataset() bool {
	v, ok := s.uint16(tagCommandDataSetType)
	return ok && v != noDataset
}

type encoder struct{ b []byte }

func (e *encoder) header(tag dicom.Tag, n int) {
	e.b = binary.LittleEndian.AppendUint16(e.b, tag.Group())
	e.b = binary.LittleEndian.AppendUint16(e.b, tag.Element())
	e.b = binary.LittleEndian.AppendUint32(e.b, uint32(n))
}

func (e *encoder) uint32(tag dicom.Tag, v uint32) {
	e.header(tag, 4)
	e.b = binary.LittleEndian.AppendUint32(e.b, v)
}

func (e *encoder) uint16(tag dicom.Tag, v uint16) {
	e.header(tag, 2)
	e.b = binary.LittleEndian.AppendUint16(e.b, v)
}

// text appends v padded to even length with pad; an empty v is left out.
func (e *encoder) text(tag dicom.Tag, v string, pad byte) {
	if v == "" {
		return
	}
	e.header(tag, len(v)+len(v)%2)
	e.b = append(e.b, v...)
	if len(v)%2 != 0 {
		e.b = append(e.b, pad)
	}
}

func (e *encoder) uid(tag dicom.Tag, v dicom.UID) { e.text(tag, string(v), 0) }

func (e *encoder) datasetType(follows bool) {
	if follows {
		e.uint16(tagCommandDataSetType, withDataset)
		return
	}
	e.uint16(tagCommandDataSetType, noDataset)
}

func (c *EchoRQ) encode(e *encoder) {
	e.uid(tagAffectedSOPClassUID, c.AffectedSOPClassUID)
	e.uint16(tagCommandField, uint16(CEchoRQ))
	e.uint16(tagMessageID, c.MessageID)
	e.datasetType(false)
}

func (c *EchoRSP) encode(e *encoder) {
	e.uid(tagAffectedSOPClassUID, c.AffectedSOPClassUID)
	e.uint16(tagCommandField, uint16(CEchoRSP))
	e.uint16(tagMessageIDBeingRespondedTo, c.MessageIDBeingRespondedTo)
	e.datasetType(false)
	e.uint16(tagStatus, uint16(c.Status))
	e.text(tagErrorComment, comment(c.ErrorComment), ' ')
}

func (c *StoreRQ) encode(e *encoder) {
	e.uid(tagAffectedSOPClassUID, c.AffectedSOPClassUID)
	e.uint16(tagCommandField, uint16(CStoreRQ))
	e.uint16(tagMessageID, c.MessageID)
	e.uint16(tagPriority, uint16(c.Priority))
	e.datasetType(!c.NoDataset)
	e.uid(tagAffectedSOPInstanceUID, c.AffectedSOPInstanceUID)
	if c.MoveOriginatorApplicationEntityTitle != "" {
		e.text(tagMoveOriginatorAETitle, c.MoveOriginatorApplicationEntityTitle, ' ')
		e.uint16(tagMoveOriginatorMessageID, c.MoveOriginatorMessageID)
	}
}

func (c *StoreRSP) encode(e *encoder) {
	e.uid(tagAffectedSOPClassUID, c.AffectedSOPClassUID)
	e.uint16(tagCommandField, uint16(CStoreRSP))
	e.uint16(tagMessageIDBeingRespondedTo, c.MessageIDBeingRespondedTo)
	e.datasetType(false)
	e.uint16(tagStatus, uint16(c.Status))
	e.text(tagErrorComment, comment(c.ErrorComment), ' ')
	e.uid(tagAffectedSOPInstanceUID, c.AffectedSOPInstanceUID)
}

func (c *Other) encode(e *encoder) {
	e.uid(tagAffectedSOPClassUID, c.AffectedSOPClassUID)
	e.uint16(tagCommandField, uint16(c.CommandField))
	if c.CommandField&ResponseBit != 0 || c.CommandField == CCancelRQ {
		e.uint16(tagMessageIDBeingRespondedTo, c.MessageID)
	} else {
		e.uint16(tagMessageID, c.MessageID)
	}
	e.datasetType(c.Dataset)
	if c.CommandField&ResponseBit != 0 {
		e.uint16(tagStatus, uint16(c.Status))
		e.text(tagErrorComment, comment(c.ErrorComment), ' ')
	}
}
