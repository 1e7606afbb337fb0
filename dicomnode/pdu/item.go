package pdu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ItemType is the first byte of an item or sub-item of an associate PDU (PS3.8 9.3.2, PS3.7 D.3.3).
type ItemType uint8

// Item types of PS3.8 9.3.2 and 9.3.3, PS3.8 D.1 and PS3.7 D.3.3.
const (
	ItemApplicationContext     ItemType = 0x10
	ItemPresentationContextRQ  ItemType = 0x20
	ItemPresentationContextAC  ItemType = 0x21
	ItemAbstractSyntax         ItemType = 0x30
	ItemTransferSyntax         ItemType = 0x40
	ItemUserInformation        ItemType = 0x50
	ItemMaximumLength          ItemType = 0x51
	ItemImplementationClassUID ItemType = 0x52
	ItemAsynchronousOperations ItemType = 0x53
	ItemRoleSelection          ItemType = 0x54
	ItemImplementationVersion  ItemType = 0x55
	ItemExtendedNegotiation    ItemType = 0x56
	ItemCommonExtended         ItemType = 0x57
	ItemUserIdentityRQ         ItemType = 0x58
	ItemUserIdentityAC         ItemType = 0x59
)

// maxItems bounds how many items one level of an associate PDU may hold; 128 contexts is the most that fit their IDs.
const maxItems = 512

// Item is an item that this package does not know, as it came.
type Item struct {
	Type ItemType
	Data []byte
}

// eachItem calls f for the items in b, in order.
func eachItem(b []byte, f func(t ItemType, data []byte) error) error {
	for count := 0; len(b) > 0; count++ {
		if len(b) < 4 {
			return invalid("%d bytes after the last item", len(b))
		}
		t, n := ItemType(b[0]), int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			return invalid("item %02XH: %d bytes with %d bytes left", uint8(t), n, len(b)-4)
		}
		if count == maxItems {
			return invalid("more than %d items", maxItems)
		}
		if err := f(t, b[4:4+n]); err != nil {
			return err
		}
		b = b[4+n:]
	}
	return nil
}

// title reads an AE title. Some write it as a string that a NUL ends, with what was in the field before behind it.
func title(b []byte) string {
	before, _, _ := bytes.Cut(bytes.TrimLeft(b, " \x00"), []byte{0})
	return text(before)
}

// text decodes a UID or a name. The standard pads neither, peers do with NUL and with blanks.
func text(b []byte) string { return strings.Trim(string(b), " \x00") }

var errTooLong = errors.New("does not fit its field")

// encoder appends fields and remembers the first that did not fit.
type encoder struct {
	b   []byte
	err error
}

func (e *encoder) bytes(b ...byte) { e.b = append(e.b, b...) }
func (e *encoder) text(s string)   { e.b = append(e.b, s...) }
func (e *encoder) uint16(n uint16) { e.b = binary.BigEndian.AppendUint16(e.b, n) }
func (e *encoder) uint32(n uint32) { e.b = binary.BigEndian.AppendUint32(e.b, n) }
func (e *encoder) fail(what string) {
	e.err = errors.Join(e.err, fmt.Errorf("%s: %w", what, errTooLong))
}

// item appends an item whose contents body appends.
func (e *encoder) item(t ItemType, body func()) {
	e.bytes(byte(t), 0)
	e.sized(fmt.Sprintf("item %02XH", uint8(t)), body)
}

// sized appends a 16-bit length and what body appends.
func (e *encoder) sized(what string, body func()) {
	e.bytes(0, 0)
	start := len(e.b)
	body()
	n := len(e.b) - start
	if n > 0xFFFF {
		e.fail(what)
		return
	}
	binary.BigEndian.PutUint16(e.b[start-2:], uint16(n))
}

func (e *encoder) textItem(t ItemType, s string) { e.item(t, func() { e.text(s) }) }

func (e *encoder) aeTitle(s string) {
	if len(s) > 16 {
		e.fail("AE title")
		return
	}
	e.text(s + strings.Repeat(" ", 16-len(s)))
}
