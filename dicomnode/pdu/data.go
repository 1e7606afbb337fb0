package pdu

import "encoding/binary"

// maxPDVs bounds the values in one P-DATA-TF PDU, so that a PDU of nothing but headers costs no more than one of data.
const maxPDVs = 1024

// PDVHeaderLength is the length in bytes of what precedes a PDV's fragment: item length, context ID, control header.
const PDVHeaderLength = 6

// PDV is a presentation data value: one fragment of a command set or a data set (PS3.8 9.3.5.1, annex E.2).
type PDV struct {
	ContextID uint8
	Command   bool   // fragment of a command set, else of a data set
	Last      bool   // the last fragment
	Data      []byte // the fragment
}

// Data is the P-DATA-TF PDU (PS3.8 9.3.5).
type Data struct {
	PDVs []PDV
}

// Type returns TypeData.
func (*Data) Type() Type { return TypeData }

func (p *Data) encode(e *encoder) {
	for _, v := range p.PDVs {
		e.b = appendPDVHeader(e.b, v.ContextID, v.Command, v.Last, len(v.Data))
		e.b = append(e.b, v.Data...)
	}
}

func appendPDVHeader(b []byte, contextID uint8, command, last bool, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(n+2))
	return append(b, contextID, controlHeader(command, last))
}

// controlHeader is the message control header of PS3.8 E.2.
func controlHeader(command, last bool) byte {
	var h byte
	if command {
		h |= 1
	}
	if last {
		h |= 2
	}
	return h
}

// decode reuses p.PDVs.
func (p *Data) decode(b []byte) error {
	p.PDVs = p.PDVs[:0]
	for len(b) > 0 {
		if len(b) < PDVHeaderLength {
			return invalid("P-DATA-TF: %d bytes after the last value", len(b))
		}
		n := binary.BigEndian.Uint32(b)
		if n < 2 || uint64(n) > uint64(len(b)-4) {
			return invalid("P-DATA-TF: value of %d bytes with %d bytes left", n, len(b)-4)
		}
		if len(p.PDVs) == maxPDVs {
			return invalid("P-DATA-TF: more than %d values", maxPDVs)
		}
		v := PDV{ContextID: b[4], Command: b[5]&1 != 0, Last: b[5]&2 != 0, Data: b[PDVHeaderLength : 4+n]}
		p.PDVs = append(p.PDVs, v)
		b = b[4+n:]
	}
	return nil
}

// PutDataHeader writes into b, which holds DataHeaderLength bytes, what precedes a fragment of n bytes
// that is sent as a P-DATA-TF PDU of its own.
func PutDataHeader(b []byte, contextID uint8, command, last bool, n int) {
	b[0], b[1] = byte(TypeData), 0
	binary.BigEndian.PutUint32(b[2:], uint32(n+PDVHeaderLength))
	appendPDVHeader(b[:HeaderLength], contextID, command, last, n)
}

// DataHeaderLength is the length of the PDU header and one PDV header.
const DataHeaderLength = HeaderLength + PDVHeaderLength
