package pixeldata

import (
	"bytes"
	"encoding/binary"
)

// Orientation is how the picture of a JPEG stream is to be turned to be upright, 1 to 8, as its EXIF segment says (EXIF 2.32,
// 4.6.5.1.3); 0 where it says nothing. Nothing here turns a picture: DICOM's attributes count, and viewers go by them.
func Orientation(jpeg []byte) int {
	if !bytes.HasPrefix(jpeg, []byte("\xff\xd8")) {
		return 0
	}
	for b := jpeg[2:]; len(b) >= 4 && b[0] == 0xff && b[1] != 0xda; { // up to the start of scan
		length := int(binary.BigEndian.Uint16(b[2:]))
		if length < 2 || length+2 > len(b) {
			return 0
		}
		if body, isExif := bytes.CutPrefix(b[4:2+length], []byte("Exif\x00\x00")); isExif && b[1] == 0xe1 {
			return tiffOrientation(body)
		}
		b = b[2+length:]
	}
	return 0
}

// tiffOrientation finds the tag in the first directory of a TIFF header.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	const entry, orientation = 12, 0x0112
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < entry {
			return 0
		}
		if order.Uint16(entries) == orientation {
			if v := int(order.Uint16(entries[8:])); v >= 1 && v <= 8 {
				return v
			}
			return 0
		}
		entries = entries[entry:]
	}
	return 0
}
