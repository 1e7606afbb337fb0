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
	tagAffectedSOPClassUID       dicom.Tag = 0x00000002
	tagRequestedSOPClassUID      dicom.Tag = 0x00000003
	tagCommandField              dicom.Tag = 0x00000100
	tagMessageID                 dicom.Tag = 0x00000110
	tagMessageIDBeingRespondedTo dicom.Tag = 0x00000120
	tagMoveDestination           dicom.Tag = 0x00000600
	tagPriority                  dicom.Tag = 0x00000700
	tagCommandDataSetType        dicom.Tag = 0x00000800
	tagStatus                    dicom.Tag = 0x00000900
	tagOffendingElement          dicom.Tag = 0x00000901
	tagErrorComment              dicom.Tag = 0x00000902
	tagErrorID                   dicom.Tag = 0x00000903
	tagAffectedSOPInstanceUID    dicom.Tag = 0x00001000
	tagRequestedSOPInstanceUID   dicom.Tag = 0x00001001
	tagEventTypeID               dicom.Tag = 0x00001002
	tagAttributeIdentifierList   dicom.Tag = 0x00001005
	tagActionTypeID              dicom.Tag = 0x00001008
	tagRemainingSuboperations    dicom.Tag = 0x00001020
	tagCompletedSuboperations    dicom.Tag = 0x00001021
	tagFailedSuboperations       dicom.Tag = 0x00001022
	tagWarningSuboperations      dicom.Tag = 0x00001023
	tagMoveOriginatorAETitle     dicom.Tag = 0x00001030
	tagMoveOriginatorMessageID   dicom.Tag = 0x00001031
	noDataset                    uint16    = 0x0101 // Command Data Set Type (PS3.7 E.1); anything else is a data set
	withDataset                  uint16    = 0x0001
)

// ErrMalformed is a command set that breaks PS3.7 6.3.1 or lacks an element without which it cannot be answered.
var ErrMalformed = errors.New("dimse: malformed command set")

// Append appends the command set c in Implicit VR Little Endian, its group length first (PS3.7 6.3.1).
func Append(b []byte, c Command) []byte {
	e := encoder{}
	c.elements(e)
	b, err := dicom.Dataset(e).AppendCommand(b)
	if err != nil {
		panic(err) // every element is of group 0000 and given as bytes, which are taken as they are
	}
	return b
}

// Decode decodes a whole command set. Errors wrap ErrMalformed and quote tags and lengths, never values.
func Decode(b []byte) (Command, error) {
	s, err := parse(b)
	if err != nil {
		return nil, err
	}
	field, ok := s.number(tagCommandField)
	if !ok {
		return nil, malformed("no Command Field")
	}
	id := tagMessageID
	if Field(field).isResponse() || Field(field) == CCancelRQ {
		id = tagMessageIDBeingRespondedTo
	}
	if _, ok := s.number(id); !ok {
		return nil, malformed("%s without its message ID %s", Field(field), id)
	}
	if !Field(field).isResponse() {
		return s.request(Field(field)), nil
	}
	status, ok := s.number(tagStatus)
	if !ok {
		return nil, malformed("%s without a status", Field(field))
	}
	c := &Response{CommandField: Field(field), Status: Status(status)}
	c.elements(s)
	return c, nil
}

// request decodes a request. Peers confuse affected and requested UIDs.
func (s set) request(field Field) *Request {
	c := &Request{CommandField: field}
	c.elements(s)
	for _, tag := range []dicom.Tag{tagAffectedSOPClassUID, tagRequestedSOPClassUID} {
		if c.SOPClassUID == "" && field != CCancelRQ {
			s.uid(tag, &c.SOPClassUID)
		}
	}
	for _, tag := range []dicom.Tag{tagAffectedSOPInstanceUID, tagRequestedSOPInstanceUID} {
		if c.SOPInstanceUID == "" && field>>8 == 1 {
			s.uid(tag, &c.SOPInstanceUID)
		}
	}
	return c
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
		tag := tagAt(b)
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

func (s set) number(tag dicom.Tag) (uint16, bool) {
	v, ok := s.find(tag)
	if !ok || len(v) != 2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(v), true
}

func (s set) uint16(tag dicom.Tag, v *uint16)   { *v, _ = s.number(tag) }
func (s set) optional(tag dicom.Tag, v *uint16) { *v, _ = s.number(tag) }

func (s set) text(tag dicom.Tag, v *string) {
	b, _ := s.find(tag)
	*v = strings.Trim(string(b), " \x00")
}

func (s set) uid(tag dicom.Tag, v *dicom.UID) { s.text(tag, (*string)(v)) }

func (s set) tags(tag dicom.Tag, v *[]dicom.Tag) {
	for b, _ := s.find(tag); len(b) >= 4; b = b[4:] {
		*v = append(*v, tagAt(b))
	}
}

// dataset: without Command Data Set Type no data set follows.
func (s set) dataset(follows *bool) {
	v, ok := s.number(tagCommandDataSetType)
	*follows = ok && v != noDataset
}

func (s set) subOperations(bool) bool {
	for _, tag := range []dicom.Tag{tagRemainingSuboperations, tagCompletedSuboperations, tagFailedSuboperations, tagWarningSuboperations} {
		if _, ok := s.find(tag); ok {
			return true
		}
	}
	return false
}

func tagAt(b []byte) dicom.Tag {
	return dicom.Tag(binary.LittleEndian.Uint16(b))<<16 | dicom.Tag(binary.LittleEndian.Uint16(b[2:]))
}

// encoder collects elements. Text goes as bytes: a response repeats what the peer has sent for a UID.
type encoder dicom.Dataset

func (e encoder) uint16(tag dicom.Tag, v *uint16) {
	e[tag] = dicom.Bytes{byte(*v), byte(*v >> 8)}
}

func (e encoder) optional(tag dicom.Tag, v *uint16) {
	if *v != 0 {
		e.uint16(tag, v)
	}
}

func (e encoder) uid(tag dicom.Tag, v *dicom.UID) { e.text(tag, (*string)(v)) }

func (e encoder) text(tag dicom.Tag, v *string) {
	text := *v
	if tag == tagErrorComment {
		text = comment(text)
	}
	if text != "" {
		e[tag] = dicom.Bytes(text)
	}
}

func (e encoder) tags(tag dicom.Tag, v *[]dicom.Tag) {
	if len(*v) > 0 {
		e[tag] = dicom.Tags(*v)
	}
}

func (e encoder) dataset(follows *bool) {
	v := noDataset
	if *follows {
		v = withDataset
	}
	e.uint16(tagCommandDataSetType, &v)
}

func (e encoder) subOperations(there bool) bool { return there }
