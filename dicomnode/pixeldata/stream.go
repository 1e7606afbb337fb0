package pixeldata

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"endogate/dicomnode/dicom"
)

// stream is what the header of a codestream says about itself.
type stream struct {
	rows, columns, samples int  // 0 where the header was not read (JPEG XL)
	precision              int  // bits of a sample; 0 likewise
	signed                 bool // JPEG 2000: samples are two's complement
	givesRGB               bool // the codec undoes its own colour transform

	// JPEG only
	jpeg, dct  bool
	adobe      int // transform of the APP14 marker, -1 where there is none
	jfif       bool
	subsampled bool
	letters    bool // component identifiers R, G, B
	ls         bool // JPEG-LS
	header     int  // length of the part before the first scan

	progressive bool
	scans       int // at most: what stands behind the first scan may hold the marker by chance
}

// fits compares the codestream with the attributes, before memory is spent on it.
func (s stream) fits(px pixels) error {
	if s.samples != 0 && (s.rows != px.rows || s.columns != px.columns || s.samples != px.samples) {
		return fmt.Errorf("%w: the codestream has %d x %d pixels of %d samples, the attributes say %d x %d of %d",
			ErrCorrupt, s.columns, s.rows, s.samples, px.columns, px.rows, px.samples)
	}
	return nil
}

// inspect reads the header of data.
func inspect(data []byte, ts dicom.TransferSyntax) (stream, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8")):
		return inspectJPEG(data)
	case bytes.HasPrefix(data, []byte("\xff\x4f\xff\x51")):
		return inspectJPEG2000(data)
	case bytes.HasPrefix(data, []byte("\x00\x00\x00\x0cjP  ")):
		if i := bytes.Index(data, []byte("\xff\x4f\xff\x51")); i >= 0 {
			return inspectJPEG2000(data[i:])
		}
	case bytes.HasPrefix(data, []byte("\xff\x0a")), bytes.HasPrefix(data, []byte("\x00\x00\x00\x0cJXL ")):
		return stream{givesRGB: true}, nil
	}
	return stream{}, fmt.Errorf("%w: a frame that does not begin as one of %s", ErrCorrupt, ts.Name)
}

// inspectJPEG walks the marker segments of ITU-T T.81 (and T.87, JPEG-LS) up to the first scan.
func inspectJPEG(data []byte) (stream, error) {
	s := stream{jpeg: true, adobe: -1}
	for i := 2; ; {
		marker, body, next := segment(data, i)
		switch {
		case next == 0:
			return s, fmt.Errorf("%w: JPEG header ends early", ErrCorrupt)
		case marker == 0xDA && s.samples == 0:
			return s, fmt.Errorf("%w: JPEG scan before its frame header", ErrCorrupt)
		case marker == 0xDA:
			s.header, s.scans = i, bytes.Count(data[i:], []byte{0xFF, 0xDA})
			return s, s.scan(body)
		case marker == 0xE0 && bytes.HasPrefix(body, []byte("JFIF\x00")):
			s.jfif = true
		case marker == 0xEE && len(body) >= 12 && bytes.HasPrefix(body, []byte("Adobe")):
			s.adobe = int(body[11])
		case isFrameHeader(marker):
			if err := s.frameHeader(body); err != nil {
				return s, err
			}
			s.dct = marker <= 0xC2
			s.ls, s.progressive = marker == 0xF7, marker == 0xC2 || marker == 0xC6
		}
		i = next
	}
}

// scan reads the interleave mode of a JPEG-LS scan header (T.87 C.2.3).
func (s stream) scan(b []byte) error {
	if s.ls && len(b) > 0 && len(b) >= 4+2*int(b[0]) && b[2+2*int(b[0])] == 2 {
		return fmt.Errorf("%w: sample-interleaved JPEG-LS, which ffmpeg does not decode", ErrUnsupported)
	}
	return nil
}

// isFrameHeader reports SOF0 to SOF15 and JPEG-LS's SOF55.
func isFrameHeader(marker byte) bool {
	return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC || marker == 0xF7
}

// segment returns the marker segment at i and where the next one begins; 0 where data end.
func segment(data []byte, i int) (marker byte, body []byte, next int) {
	for i+1 < len(data) && data[i] == 0xFF && data[i+1] == 0xFF {
		i++ // fill bytes, T.81 B.1.1.2
	}
	if i+4 > len(data) || data[i] != 0xFF {
		return 0, nil, 0
	}
	n := int(binary.BigEndian.Uint16(data[i+2:]))
	if n < 2 || i+2+n > len(data) {
		return 0, nil, 0
	}
	return data[i+1], data[i+4 : i+2+n], i + 2 + n
}

// frameHeader reads a SOF segment (T.81 B.2.2).
func (s *stream) frameHeader(b []byte) error {
	if len(b) < 6 || len(b) < 6+3*int(b[5]) || b[0] < 2 || b[0] > 16 {
		return fmt.Errorf("%w: JPEG frame header", ErrCorrupt)
	}
	s.precision = int(b[0])
	s.rows, s.columns = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	s.samples = int(b[5])
	var ids string
	for c := b[6:]; len(ids) < s.samples; c = c[3:] {
		ids += string(rune(c[0]))
		s.subsampled = s.subsampled || c[1] != b[7]
	}
	s.letters = ids == "RGB"
	return nil
}

// jpegIsYCC reports whether the components are Y, Cb and Cr. What the stream says explicitly wins, as the attributes
// of a frame that some device took out of a camera's file often say RGB all the same; where the stream is silent
// Photometric Interpretation decides (PS3.5 8.2.1).
func (s stream) jpegIsYCC(photometric string) bool {
	switch {
	case s.adobe == 0:
		return false
	case s.adobe == 1, s.jfif, s.subsampled:
		return true
	case s.letters:
		return false
	default:
		return photometric != "RGB"
	}
}

// markTransform rewrites the application segments of a JPEG stream so that a decoder that guesses from them
// has nothing to guess: no JFIF, and one Adobe APP14 segment with the transform.
func markTransform(data []byte, ycc bool) ([]byte, error) {
	s, err := inspectJPEG(data)
	if err != nil {
		return nil, err
	}
	if s.samples != 3 {
		return data, nil
	}
	transform := byte(0)
	if ycc {
		transform = 1
	}
	out := make([]byte, 0, len(data)+16)
	out = append(out, 0xFF, 0xD8, 0xFF, 0xEE, 0, 14)
	out = append(out, "Adobe\x00\x64\x00\x00\x00\x00"...)
	out = append(out, transform)
	for i := 2; i < s.header; {
		marker, _, next := segment(data, i)
		if marker != 0xE0 && marker != 0xEE {
			out = append(out, data[i:next]...)
		}
		i = next
	}
	return append(out, data[s.header:]...), nil
}

// inspectJPEG2000 reads SIZ and COD of the main header (ITU-T T.800 A.5.1, A.6.1).
func inspectJPEG2000(data []byte) (stream, error) {
	s := stream{adobe: -1}
	for i := 2; ; {
		marker, b, next := segment(data, i)
		switch {
		case next == 0:
			return s, fmt.Errorf("%w: JPEG 2000 header ends early", ErrCorrupt)
		case marker == 0x90: // SOT: the main header is over
			if s.samples == 0 {
				return s, fmt.Errorf("%w: JPEG 2000 tile before its image size", ErrCorrupt)
			}
			return s, nil
		case marker == 0x51:
			if len(b) < 37 {
				return s, fmt.Errorf("%w: JPEG 2000 image size", ErrCorrupt)
			}
			size := func(at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
			s.columns, s.rows = size(2)-size(10), size(6)-size(14)
			s.samples = int(binary.BigEndian.Uint16(b[34:]))
			s.precision, s.signed = int(b[36]&0x7F)+1, b[36]&0x80 != 0
			if s.precision > 16 || s.samples == 0 {
				return s, fmt.Errorf("%w: JPEG 2000 with %d bits, %d components", ErrUnsupported, s.precision, s.samples)
			}
		case marker == 0x52 && len(b) >= 5:
			s.givesRGB = b[4] == 1
		}
		i = next
	}
}
