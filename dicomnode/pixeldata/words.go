package pixeldata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrWords: the pixel data may hold words that cannot be told from pixels. They are decoded where the instance is, and go
// nowhere else.
var ErrWords = errors.New("pixeldata: words cannot be told from pixels")

// withoutWords writes a frame anew with what decoding needs and nothing else: neither comments nor what stands before,
// between and behind the parts that a decoder reads. ErrWords where it is not read to its end.
func withoutWords(frame []byte, px pixels, rle bool) ([]byte, error) {
	var out []byte
	switch {
	case rle:
		out = bareRLE(frame, px)
	case bytes.HasPrefix(frame, []byte("\xff\xd8")):
		out = bareJPEG(frame)
	case bytes.HasPrefix(frame, []byte("\xff\x4f\xff\x51")):
		out = bareJPEG2000(frame)
	case bytes.HasPrefix(frame, []byte("\x00\x00\x00\x0cjP  ")):
		out = bareJPEG2000(unboxed(frame))
	}
	if out == nil {
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrWords, len(frame))
	}
	return out, nil
}

// bareJPEG is a stream of ITU-T T.81 or T.87 from SOI to EOI; nil where it is another.
func bareJPEG(data []byte) []byte {
	out := append(make([]byte, 0, len(data)), data[:2]...)
	ls := false
	for i := 2; ; {
		for i+1 < len(data) && data[i] == 0xFF && data[i+1] == 0xFF {
			i++ // fill bytes, T.81 B.1.1.2
		}
		if bytes.HasPrefix(data[i:], []byte("\xff\xd9")) {
			return append(out, data[i:i+2]...)
		}
		marker, body, next := segment(data, i)
		switch {
		case next == 0:
			return nil
		case marker == 0xDA:
			next = entropyEnd(data, next, ls)
			out = append(out, data[i:next]...)
		case marker == 0xE0 && bytes.HasPrefix(body, []byte("JFIF\x00")) && len(body) >= 14:
			out = append(append(out, "\xff\xe0\x00\x10"...), body[:12]...)
			out = append(out, 0, 0) // no thumbnail
		case marker == 0xEE && bytes.HasPrefix(body, []byte("Adobe")) && len(body) >= 12:
			out = append(append(out, "\xff\xee\x00\x0e"...), body[:12]...)
		case marker >= 0xE0 && marker <= 0xEF, marker == 0xFE: // APPn, COM
		case marker >= 0xC0 && marker <= 0xCF, marker >= 0xDB && marker <= 0xDF, marker == 0xF7, marker == 0xF8:
			ls = ls || marker == 0xF7
			out = append(out, data[i:next]...)
		default:
			return nil
		}
		i = next
	}
}

// entropyEnd is where the marker stands that ends a scan's data, fill bytes before it not counted.
func entropyEnd(data []byte, i int, ls bool) int {
	for ; i+1 < len(data); i++ {
		if data[i] != 0xFF {
			continue
		}
		switch next := data[i+1]; {
		case next == 0x00, next >= 0xD0 && next <= 0xD7: // stuffed, or a restart
		case ls && next < 0x80: // stuffed, T.87 A.1
		default:
			return i
		}
	}
	return len(data)
}

// bareJPEG2000 is a codestream of ITU-T T.800 or T.814 from SOC to EOC; nil where it is another.
func bareJPEG2000(data []byte) []byte {
	if len(data) < 2 {
		return nil
	}
	out, i := headers2000(append(make([]byte, 0, len(data)), data[:2]...), data, 2)
	for i > 0 && !bytes.HasPrefix(data[i:], []byte("\xff\xd9")) {
		out, i = tilePart(out, data, i)
	}
	if i <= 0 {
		return nil
	}
	return append(out, 0xFF, 0xD9)
}

// headers2000 appends the marker segments at i that decoding needs, and returns where SOT, SOD or EOC comes; 0 where none
// does.
func headers2000(out, data []byte, i int) ([]byte, int) {
	for i+1 < len(data) && data[i] == 0xFF {
		if m := data[i+1]; m == 0x90 || m == 0x93 || m == 0xD9 {
			return out, i
		}
		marker, _, next := segment(data, i)
		switch {
		case next == 0:
			return nil, 0
		case marker == 0x64, marker == 0x63, marker == 0x55, marker == 0x57, marker == 0x58: // COM, CRG, and lengths: TLM, PLM, PLT
		case marker >= 0x50 && marker <= 0x61:
			out = append(out, data[i:next]...)
		default:
			return nil, 0
		}
		i = next
	}
	return nil, 0
}

// tilePart appends a tile-part, and returns where the next one begins; 0 where there is none at i.
func tilePart(out, data []byte, i int) ([]byte, int) {
	marker, body, next := segment(data, i)
	if next == 0 || marker != 0x90 || len(body) != 8 {
		return nil, 0
	}
	start, length := len(out), int64(binary.BigEndian.Uint32(body[2:]))
	end := i + bytes.Index(data[i:], []byte("\xff\xd9")) // no packet has it
	if length > 0 {
		end = int(min(int64(i)+length, int64(len(data))))
	}
	out, sod := headers2000(append(out, data[i:next]...), data, next)
	if sod == 0 || data[sod+1] != 0x93 || sod+2 > end {
		return nil, 0
	}
	out = append(out, data[sod:end]...)
	if length > 0 {
		binary.BigEndian.PutUint32(out[start+6:], uint32(len(out)-start)) // Psot
	}
	return out, end
}

// unboxed is the codestream of a JP2 file (T.800 annex I); nil where the file says more about its colours than the
// codestream and the attributes do.
func unboxed(data []byte) (stream []byte) {
	eachBox(data, func(kind string, content []byte) bool {
		if kind == "jp2c" {
			stream = content
		}
		return stream == nil && (kind != "jp2h" || eachBox(content, saysNoMore))
	})
	return stream
}

// saysNoMore reports boxes of a JP2 header that decoding goes as well without.
func saysNoMore(kind string, content []byte) bool {
	enumerated := kind == "colr" && len(content) == 7 && content[0] == 1 && bytes.HasPrefix(content[3:], []byte{0, 0, 0})
	return enumerated && (content[6] == 16 || content[6] == 17) || kind == "ihdr" || kind == "bpcc" || kind == "res " // sRGB, grey
}

// eachBox calls do for every box until it says false, and reports whether it never did and all could be read.
func eachBox(data []byte, do func(kind string, content []byte) bool) bool {
	for len(data) > 0 {
		if len(data) < 8 {
			return false
		}
		header, length := uint64(8), uint64(binary.BigEndian.Uint32(data))
		switch {
		case length == 0:
			length = uint64(len(data))
		case length == 1 && len(data) >= 16:
			header, length = 16, binary.BigEndian.Uint64(data[8:])
		}
		if length < header || length > uint64(len(data)) || !do(string(data[4:8]), data[header:length]) {
			return false
		}
		data = data[length:]
	}
	return true
}

// bareRLE is an RLE frame (PS3.5 annex G) with the bytes of its segments that are read; nil where it has too few.
func bareRLE(data []byte, px pixels) []byte {
	segments := px.samples * px.bytes()
	if len(data) < rleHeader || int(binary.LittleEndian.Uint32(data)) != segments || segments > 15 {
		return nil
	}
	out := append(make([]byte, 0, len(data)), make([]byte, rleHeader)...)
	binary.LittleEndian.PutUint32(out, uint32(segments))
	for s := range segments {
		start, end := int(binary.LittleEndian.Uint32(data[4+4*s:])), len(data)
		if s+1 < segments {
			end = int(binary.LittleEndian.Uint32(data[8+4*s:]))
		}
		if start < rleHeader || end < start || end > len(data) {
			return nil
		}
		used := usedRLE(data[start:end], px.rows*px.columns)
		if used < 0 {
			return nil
		}
		binary.LittleEndian.PutUint32(out[4+4*s:], uint32(len(out)))
		if out = append(out, data[start:start+used]...); len(out)%2 == 1 {
			out = append(out, 0)
		}
	}
	return out
}

// usedRLE is how many bytes of a segment give n; -1 where it does not have them to the byte.
func usedRLE(in []byte, n int) int {
	at := 0
	for n > 0 && at+1 < len(in) {
		switch count := int(int8(in[at])); {
		case count >= 0:
			at, n = at+2+count, n-1-count
		case count > -128:
			at, n = at+2, n-1+count
		default:
			at++ // no operation
		}
	}
	if n != 0 || at > len(in) {
		return -1
	}
	return at
}
