package pdu

import (
	"encoding/binary"
	"fmt"
)

// UserInformation is the user information item of an associate PDU (PS3.8 9.3.2.3, PS3.7 D.3.3).
// A nil pointer or an empty slice is a sub-item that is not there.
type UserInformation struct {
	MaximumLength             uint32 // of the P-DATA-TF PDUs the sender can receive, without their header; 0 is no limit
	ImplementationClassUID    string
	ImplementationVersionName string
	AsynchronousOperations    *AsynchronousOperations
	Roles                     []RoleSelection
	ExtendedNegotiation       []ExtendedNegotiation
	CommonExtended            []CommonExtended
	UserIdentityRQ            *UserIdentity
	UserIdentityAC            *UserIdentityResponse
	Unknown                   []Item
}

// What a maximum length (PS3.8 D.1) is set to: below it some peers give up, and an association holds one PDU in memory.
const (
	LeastMaximumLength = 4 << 10
	MostMaximumLength  = 1 << 20
)

// AsynchronousOperations is the asynchronous operations window (PS3.7 D.3.3.3); 0 is no limit, absence is 1/1.
type AsynchronousOperations struct{ Invoked, Performed uint16 }

// RoleSelection is the SCP/SCU role selection for a SOP class (PS3.7 D.3.3.4); absence is SCU for the requestor.
type RoleSelection struct {
	SOPClassUID string
	SCU, SCP    bool
}

// ExtendedNegotiation is the service class application information of a SOP class (PS3.7 D.3.3.5).
type ExtendedNegotiation struct {
	SOPClassUID string
	Data        []byte
}

// CommonExtended is the common extended negotiation of a SOP class (PS3.7 D.3.3.6).
type CommonExtended struct {
	Version                      uint8
	SOPClassUID, ServiceClassUID string
	RelatedGeneralSOPClassUIDs   []string
}

// UserIdentity is the user identity of a request (PS3.7 D.3.3.7.1). It holds secrets: it is never logged.
type UserIdentity struct {
	Type               uint8 // 1 user name, 2 with passcode, 3 Kerberos, 4 SAML, 5 JWT
	ResponseRequested  bool
	Primary, Secondary []byte
}

// Format writes the type alone, whatever the verb.
func (i UserIdentity) Format(w fmt.State, _ rune) {
	_, _ = fmt.Fprintf(w, "user identity of type %d", i.Type)
}

// UserIdentityResponse is the answer to a user identity (PS3.7 D.3.3.7.2).
type UserIdentityResponse struct{ Data []byte }

// Format writes that there is one, whatever the verb: of a token it is that.
func (UserIdentityResponse) Format(w fmt.State, _ rune) { _, _ = fmt.Fprint(w, "positive response") }

func (u *UserInformation) encode(e *encoder) {
	e.item(ItemMaximumLength, func() { e.uint32(u.MaximumLength) })
	e.textItem(ItemImplementationClassUID, u.ImplementationClassUID)
	if a := u.AsynchronousOperations; a != nil {
		e.item(ItemAsynchronousOperations, func() { e.uint16(a.Invoked); e.uint16(a.Performed) })
	}
	for _, r := range u.Roles {
		e.item(ItemRoleSelection, func() {
			e.sized("SOP class UID", func() { e.text(r.SOPClassUID) })
			e.bytes(flag(r.SCU), flag(r.SCP))
		})
	}
	if u.ImplementationVersionName != "" {
		e.textItem(ItemImplementationVersion, u.ImplementationVersionName)
	}
	for _, x := range u.ExtendedNegotiation {
		e.item(ItemExtendedNegotiation, func() {
			e.sized("SOP class UID", func() { e.text(x.SOPClassUID) })
			e.bytes(x.Data...)
		})
	}
	for _, x := range u.CommonExtended {
		e.bytes(byte(ItemCommonExtended), x.Version)
		e.sized("common extended negotiation", func() { x.encode(e) })
	}
	u.encodeIdentity(e)
	e.unknown(u.Unknown)
}

func (x *CommonExtended) encode(e *encoder) {
	e.sized("SOP class UID", func() { e.text(x.SOPClassUID) })
	e.sized("service class UID", func() { e.text(x.ServiceClassUID) })
	e.sized("related general SOP class UIDs", func() {
		for _, uid := range x.RelatedGeneralSOPClassUIDs {
			e.sized("SOP class UID", func() { e.text(uid) })
		}
	})
}

func (u *UserInformation) encodeIdentity(e *encoder) {
	if i := u.UserIdentityRQ; i != nil {
		e.item(ItemUserIdentityRQ, func() {
			e.bytes(i.Type, flag(i.ResponseRequested))
			e.sized("primary field", func() { e.bytes(i.Primary...) })
			e.sized("secondary field", func() { e.bytes(i.Secondary...) })
		})
	}
	if i := u.UserIdentityAC; i != nil {
		e.item(ItemUserIdentityAC, func() {
			e.sized("server response", func() { e.bytes(i.Data...) })
		})
	}
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func (u *UserInformation) decode(b []byte) error {
	// The version of sub-item 57H stands in the byte that all others reserve, so the walk is by header and not by eachItem alone.
	offset := 0
	return eachItem(b, func(t ItemType, data []byte) error {
		version := b[offset+1]
		offset += 4 + len(data)
		return u.decodeItem(t, version, data)
	})
}

func (u *UserInformation) decodeItem(t ItemType, version byte, data []byte) error {
	d := fields{b: data}
	switch t {
	case ItemMaximumLength:
		u.MaximumLength = d.uint32()
	case ItemImplementationClassUID:
		u.ImplementationClassUID, d.b = text(data), nil
	case ItemImplementationVersion:
		u.ImplementationVersionName, d.b = text(data), nil
	case ItemAsynchronousOperations:
		u.AsynchronousOperations = &AsynchronousOperations{d.uint16(), d.uint16()}
	case ItemRoleSelection:
		u.Roles = append(u.Roles, RoleSelection{text(d.sized()), d.uint8() == 1, d.uint8() == 1})
	case ItemExtendedNegotiation:
		u.ExtendedNegotiation = append(u.ExtendedNegotiation, ExtendedNegotiation{text(d.sized()), d.rest()})
	case ItemCommonExtended:
		u.CommonExtended = append(u.CommonExtended, d.commonExtended(version))
	case ItemUserIdentityRQ:
		u.UserIdentityRQ = &UserIdentity{d.uint8(), d.uint8() == 1, d.sized(), d.sized()}
	case ItemUserIdentityAC:
		u.UserIdentityAC = &UserIdentityResponse{d.sized()}
	default:
		u.Unknown, d.b = append(u.Unknown, Item{t, data}), nil
	}
	if d.short {
		return invalid("item %02XH: %d bytes are too few", uint8(t), len(data))
	}
	return nil
}

// fields takes the fields of a sub-item off its front; bytes after the last are left alone,
// as later editions of the standard may define them (PS3.7 D.3.3.6).
type fields struct {
	b     []byte
	short bool
}

func (d *fields) take(n int) []byte {
	if n > len(d.b) {
		d.short, d.b = true, nil
		return make([]byte, min(n, 4))
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *fields) uint8() uint8   { return d.take(1)[0] }
func (d *fields) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }
func (d *fields) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *fields) sized() []byte  { return d.take(int(d.uint16())) }
func (d *fields) rest() []byte   { return d.take(len(d.b)) }

func (d *fields) commonExtended(version uint8) CommonExtended {
	x := CommonExtended{Version: version, SOPClassUID: text(d.sized()), ServiceClassUID: text(d.sized())}
	related := fields{b: d.sized()}
	for len(related.b) > 0 {
		x.RelatedGeneralSOPClassUIDs = append(x.RelatedGeneralSOPClassUIDs, text(related.sized()))
	}
	d.short = d.short || related.short
	return x
}
