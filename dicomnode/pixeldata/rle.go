package pixeldata

import (
	"encoding/binary"
	"fmt"
)

// rleHeader is the number of segments and 15 offsets (PS3.5 G.5).
const rleHeader = 64

// decodeRLE decodes an RLE frame of n pixels (PS3.5 annex G) into samples by pixel, Little Endian.
// Segments are the bytes of the composite pixel code, most significant first, sample after sample.
func decodeRLE(pace pace, data []byte, n, samples, bytes int) ([]byte, error) {
	if len(data) < rleHeader {
		return nil, fmt.Errorf("%w: RLE frame of %d bytes", ErrCorrupt, len(data))
	}
	segments := int(binary.LittleEndian.Uint32(data))
	if segments != samples*bytes {
		return nil, fmt.Errorf("%w: %d RLE segments, not %d", ErrCorrupt, segments, samples*bytes)
	}
	out := make([]byte, n*segments)
	for s := range segments {
		start := int(binary.LittleEndian.Uint32(data[4+4*s:]))
		end := len(data)
		if s+1 < segments {
			end = int(binary.LittleEndian.Uint32(data[8+4*s:]))
		}
		if start < rleHeader || end < start || end > len(data) {
			return nil, fmt.Errorf("%w: RLE segment %d of %d lies outside its frame", ErrCorrupt, s+1, segments)
		}
		first := s/bytes*bytes + bytes - 1 - s%bytes
		got, err := unpackRLE(pace, out[first:], segments, n, data[start:end])
		if err != nil {
			return nil, err
		}
		if got < n {
			return nil, fmt.Errorf("%w: RLE segment %d of %d has %d bytes, not %d", ErrCorrupt, s+1, segments, got, n)
		}
	}
	return out, nil
}

// unpackRLE decodes a segment (PS3.5 G.3.2) into every step-th byte of out, n at most, and returns how many there were.
func unpackRLE(pace pace, out []byte, step, n int, in []byte) (at int, err error) {
	for turn := 0; len(in) > 1 && at < n; turn++ {
		if turn%(band/128) == 0 { // a run has 128 bytes at most
			if err := pace.over(); err != nil {
				return at, err
			}
		}
		count := int(int8(in[0]))
		in = in[1:]
		switch {
		case count >= 0:
			literal := in[:min(count+1, len(in), n-at)]
			for _, b := range literal {
				out[at*step] = b
				at++
			}
			in = in[min(count+1, len(in)):]
		case count > -128:
			for range min(1-count, n-at) {
				out[at*step] = in[0]
				at++
			}
			in = in[1:]
		}
	}
	return at, nil
}
