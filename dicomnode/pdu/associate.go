package pdu

import "encoding/binary"

// ApplicationContext is the one application context name of DICOM (PS3.7 A.2.1).
const ApplicationContext = "1.2.840.10008.3.1.1.1"

// ProtocolVersion is the version bit that an associate PDU must have set (PS3.8 table 9-11).
const ProtocolVersion uint16 = 1

// AssociateRQ is the A-ASSOCIATE-RQ PDU (PS3.8 9.3.2). AE titles are without their padding.
type AssociateRQ struct {
	ProtocolVersion    uint16
	CalledAE           string
	CallingAE          string
	ApplicationContext string
	Contexts           []PresentationContextRQ
	User               UserInformation
	Unknown            []Item
}

// PresentationContextRQ is a proposed presentation context (PS3.8 9.3.2.2).
type PresentationContextRQ struct {
	ID               uint8
	AbstractSyntax   string
	TransferSyntaxes []string // in the requestor's order
	Unknown          []Item
}

// AssociateAC is the A-ASSOCIATE-AC PDU (PS3.8 9.3.3). AE titles are those of the request and mean nothing.
type AssociateAC struct {
	ProtocolVersion    uint16
	CalledAE           string
	CallingAE          string
	ApplicationContext string
	Contexts           []PresentationContextAC
	User               UserInformation
	Unknown            []Item
}

// PresentationContextAC is the answer to a proposed presentation context (PS3.8 9.3.3.2).
type PresentationContextAC struct {
	ID             uint8
	Result         uint8  // PS3.8 table 9-18
	TransferSyntax string // means nothing unless Result is 0
	Unknown        []Item
}

// Type returns TypeAssociateRQ.
func (*AssociateRQ) Type() Type { return TypeAssociateRQ }

// Type returns TypeAssociateAC.
func (*AssociateAC) Type() Type { return TypeAssociateAC }

func (p *AssociateRQ) encode(e *encoder) {
	e.associateHeader(p.ProtocolVersion, p.CalledAE, p.CallingAE)
	e.textItem(ItemApplicationContext, p.ApplicationContext)
	for _, pc := range p.Contexts {
		e.item(ItemPresentationContextRQ, func() { pc.encode(e) })
	}
	e.item(ItemUserInformation, func() { p.User.encode(e) })
	e.unknown(p.Unknown)
}

func (pc *PresentationContextRQ) encode(e *encoder) {
	e.bytes(pc.ID, 0, 0, 0)
	e.textItem(ItemAbstractSyntax, pc.AbstractSyntax)
	for _, ts := range pc.TransferSyntaxes {
		e.textItem(ItemTransferSyntax, ts)
	}
	e.unknown(pc.Unknown)
}

func (p *AssociateAC) encode(e *encoder) {
	e.associateHeader(p.ProtocolVersion, p.CalledAE, p.CallingAE)
	e.textItem(ItemApplicationContext, p.ApplicationContext)
	for _, pc := range p.Contexts {
		e.item(ItemPresentationContextAC, func() {
			e.bytes(pc.ID, 0, pc.Result, 0)
			e.textItem(ItemTransferSyntax, pc.TransferSyntax)
			e.unknown(pc.Unknown)
		})
	}
	e.item(ItemUserInformation, func() { p.User.encode(e) })
	e.unknown(p.Unknown)
}

func (e *encoder) associateHeader(version uint16, called, calling string) {
	e.uint16(version)
	e.uint16(0)
	e.aeTitle(called)
	e.aeTitle(calling)
	e.b = append(e.b, make([]byte, 32)...)
}

func (e *encoder) unknown(items []Item) {
	for _, i := range items {
		e.item(i.Type, func() { e.bytes(i.Data...) })
	}
}

// associateHeaderLength is the length of the fixed fields of an associate PDU (PS3.8 table 9-11).
const associateHeaderLength = 68

func (p *AssociateRQ) decode(b []byte) error {
	if len(b) < associateHeaderLength {
		return invalid("A-ASSOCIATE-RQ: %d bytes, want at least %d", len(b), associateHeaderLength)
	}
	p.ProtocolVersion = binary.BigEndian.Uint16(b)
	p.CalledAE, p.CallingAE = title(b[4:20]), title(b[20:36])
	return eachItem(b[associateHeaderLength:], func(t ItemType, data []byte) error {
		switch t {
		case ItemApplicationContext:
			p.ApplicationContext = text(data)
		case ItemPresentationContextRQ:
			pc, err := decodeContextRQ(data)
			p.Contexts = append(p.Contexts, pc)
			return err
		case ItemUserInformation:
			return p.User.decode(data)
		default:
			p.Unknown = append(p.Unknown, Item{t, data})
		}
		return nil
	})
}

func decodeContextRQ(b []byte) (PresentationContextRQ, error) {
	if len(b) < 4 {
		return PresentationContextRQ{}, invalid("presentation context: %d bytes, want at least 4", len(b))
	}
	pc := PresentationContextRQ{ID: b[0]}
	err := eachItem(b[4:], func(t ItemType, data []byte) error {
		switch t {
		case ItemAbstractSyntax:
			pc.AbstractSyntax = text(data)
		case ItemTransferSyntax:
			pc.TransferSyntaxes = append(pc.TransferSyntaxes, text(data))
		default:
			pc.Unknown = append(pc.Unknown, Item{t, data})
		}
		return nil
	})
	return pc, err
}

func (p *AssociateAC) decode(b []byte) error {
	if len(b) < associateHeaderLength {
		return invalid("A-ASSOCIATE-AC: %d bytes, want at least %d", len(b), associateHeaderLength)
	}
	p.ProtocolVersion = binary.BigEndian.Uint16(b)
	p.CalledAE, p.CallingAE = title(b[4:20]), title(b[20:36])
	return eachItem(b[associateHeaderLength:], func(t ItemType, data []byte) error {
		switch t {
		case ItemApplicationContext:
			p.ApplicationContext = text(data)
		case ItemPresentationContextAC:
			pc, err := decodeContextAC(data)
			p.Contexts = append(p.Contexts, pc)
			return err
		case ItemUserInformation:
			return p.User.decode(data)
		default:
			p.Unknown = append(p.Unknown, Item{t, data})
		}
		return nil
	})
}

func decodeContextAC(b []byte) (PresentationContextAC, error) {
	if len(b) < 4 {
		return PresentationContextAC{}, invalid("presentation context: %d bytes, want at least 4", len(b))
	}
	pc := PresentationContextAC{ID: b[0], Result: b[2]}
	err := eachItem(b[4:], func(t ItemType, data []byte) error {
		if t == ItemTransferSyntax {
			pc.TransferSyntax = text(data)
			return nil
		}
		pc.Unknown = append(pc.Unknown, Item{t, data})
		return nil
	})
	return pc, err
}
