package pdu

import (
	"encoding/binary"
	"fmt"
)

// Type is the first byte of a PDU (PS3.8 9.3.1).
type Type uint8

// PDU types of PS3.8 9.3.
const (
	TypeAssociateRQ Type = 0x01
	TypeAssociateAC Type = 0x02
	TypeAssociateRJ Type = 0x03
	TypeData        Type = 0x04
	TypeReleaseRQ   Type = 0x05
	TypeReleaseRP   Type = 0x06
	TypeAbort       Type = 0x07
)

// String returns the name that PS3.8 gives the PDU.
func (t Type) String() string {
	switch t {
	case TypeAssociateRQ:
		return "A-ASSOCIATE-RQ"
	case TypeAssociateAC:
		return "A-ASSOCIATE-AC"
	case TypeAssociateRJ:
		return "A-ASSOCIATE-RJ"
	case TypeData:
		return "P-DATA-TF"
	case TypeReleaseRQ:
		return "A-RELEASE-RQ"
	case TypeReleaseRP:
		return "A-RELEASE-RP"
	case TypeAbort:
		return "A-ABORT"
	}
	return fmt.Sprintf("PDU type %02XH", uint8(t))
}

// Known reports whether PS3.8 defines the type.
func (t Type) Known() bool { return t >= TypeAssociateRQ && t <= TypeAbort }

// HeaderLength is the length in bytes of what precedes the body of every PDU: type, reserved, length.
const HeaderLength = 6

// PDU is one of *AssociateRQ, *AssociateAC, *AssociateRJ, *Data, *ReleaseRQ, *ReleaseRP and *Abort.
type PDU interface {
	Type() Type
	encode(e *encoder)
}

// Append appends the encoded PDU to b. It fails when a field does not fit its place:
// an AE title above 16 characters, an item above 65,535 bytes.
func Append(b []byte, p PDU) ([]byte, error) {
	e := encoder{b: append(b, byte(p.Type()), 0, 0, 0, 0, 0)}
	p.encode(&e)
	if e.err != nil {
		return b, fmt.Errorf("pdu: %s: %w", p.Type(), e.err)
	}
	start := len(b) + HeaderLength
	binary.BigEndian.PutUint32(e.b[start-4:], uint32(len(e.b)-start))
	return e.b, nil
}

// Decode decodes the body of a PDU of type t, its six-byte header taken off. Byte slices in the result
// refer to body. The error is an *Error with the abort reason that answers it.
func Decode(t Type, body []byte) (PDU, error) {
	switch t {
	case TypeAssociateRQ:
		p := new(AssociateRQ)
		return p, p.decode(body)
	case TypeAssociateAC:
		p := new(AssociateAC)
		return p, p.decode(body)
	case TypeData:
		p := new(Data)
		return p, p.decode(body)
	}
	if !t.Known() {
		return nil, unrecognized(t)
	}
	if len(body) != 4 {
		return nil, invalid("%s: length %d, want 4", t, len(body))
	}
	switch t {
	case TypeAssociateRJ:
		return &AssociateRJ{Result: RejectResult(body[1]), Source: RejectSource(body[2]), Reason: RejectReason(body[3])}, nil
	case TypeReleaseRQ:
		return &ReleaseRQ{}, nil
	case TypeReleaseRP:
		return &ReleaseRP{}, nil
	default:
		return &Abort{Source: AbortSource(body[2]), Reason: AbortReason(body[3])}, nil
	}
}

// ReleaseRQ is the A-RELEASE-RQ PDU (PS3.8 9.3.6).
type ReleaseRQ struct{}

// Type returns TypeReleaseRQ.
func (*ReleaseRQ) Type() Type        { return TypeReleaseRQ }
func (*ReleaseRQ) encode(e *encoder) { e.bytes(0, 0, 0, 0) }

// ReleaseRP is the A-RELEASE-RP PDU (PS3.8 9.3.7).
type ReleaseRP struct{}

// Type returns TypeReleaseRP.
func (*ReleaseRP) Type() Type        { return TypeReleaseRP }
func (*ReleaseRP) encode(e *encoder) { e.bytes(0, 0, 0, 0) }
