package pixeldata

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"endogate/dicomnode/dicom"
)

// maxTable bounds an offset table in bytes: a million frames.
const maxTable = 8 << 20

// fragments puts the fragments of encapsulated Pixel Data together to frames (PS3.5 A.4). A frame begins where a
// codestream does: that holds whether the writer's offset table is right, wrong or missing. Where codestreams have no
// telling first bytes the Basic or Extended Offset Table says, and without one each fragment is a frame, as in RLE.
type fragments struct {
	r      *dicom.Reader
	single bool     // one frame: all fragments are its
	table  []uint64 // of the frames not yet begun: where they begin, counted from the first fragment's item
	offset uint64   // where the next fragment's item begins
	limit  int64    // bytes of a frame
	ahead  []byte   // a fragment that was read and belongs to the next frame
	ended  bool
	signed bool // the first frame begins with a signature, so every frame does
}

// newFragments reads the Basic Offset Table.
func newFragments(r *dicom.Reader, a *dicom.Attributes, px pixels) (*fragments, error) {
	// No codec makes a frame much larger than its pixels; what is larger is no frame.
	f := &fragments{r: r, single: px.frames == 1, limit: 2*int64(px.rows*px.columns*px.samples*px.bytes()) + 1<<20}
	t, err := r.Next()
	if err != nil {
		return nil, asCorrupt(err)
	}
	if t.Kind != dicom.Fragment {
		return nil, fmt.Errorf("%w: Pixel Data without a Basic Offset Table item", ErrCorrupt)
	}
	if t.Length <= maxTable {
		basic, err := io.ReadAll(r)
		if err != nil {
			return nil, asCorrupt(err)
		}
		for ; len(basic) >= 4; basic = basic[4:] {
			f.table = append(f.table, uint64(binary.LittleEndian.Uint32(basic)))
		}
	}
	if e, ok := a.Get(dicom.ExtendedOffsetTable); ok && len(f.table) == 0 {
		for v := e.Value; len(v) >= 8; v = v[8:] {
			f.table = append(f.table, binary.LittleEndian.Uint64(v))
		}
	}
	if len(f.table) != px.frames || f.table[0] != 0 || !slices.IsSorted(f.table) {
		f.table = nil
	}
	return f, nil
}

// next returns the bytes of the next frame, which are the caller's.
func (f *fragments) next() ([]byte, error) {
	frame := f.ahead
	f.ahead = nil
	if len(f.table) > 0 {
		f.table = f.table[1:]
	}
	for !f.ended {
		begins := f.offset
		fragment, err := f.fragment()
		if err != nil {
			return nil, err
		}
		if fragment == nil {
			break
		}
		if frame != nil && f.isNew(begins, fragment) {
			f.ahead = fragment
			return frame, nil
		}
		if int64(len(frame)+len(fragment)) > f.limit {
			return nil, fmt.Errorf("%w: a compressed frame of more than %d bytes", ErrCorrupt, f.limit)
		}
		if frame == nil {
			frame = fragment
			if begins == 0 {
				weak := bytes.HasPrefix(fragment, []byte(jpegXL)) && f.table != nil
				f.signed = beginsCodestream(fragment) && !weak
			}
		} else {
			frame = append(frame, fragment...)
		}
	}
	if frame == nil {
		return nil, fmt.Errorf("%w: Pixel Data hold fewer frames than Number of Frames says", ErrCorrupt)
	}
	return frame, nil
}

// fragment reads one fragment; nil at the end of the Pixel Data.
func (f *fragments) fragment() ([]byte, error) {
	t, err := f.r.Next()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, asCorrupt(err)
	}
	if t.Kind != dicom.Fragment {
		f.ended = true
		return nil, nil
	}
	f.offset += 8 + uint64(t.Length)
	if int64(t.Length) > f.limit {
		return nil, fmt.Errorf("%w: a fragment of %d bytes", ErrCorrupt, t.Length)
	}
	// The buffer grows with what arrives, not with what the length claims.
	b := bytes.NewBuffer(make([]byte, 0, min(int(t.Length), 64<<10)))
	if _, err := b.ReadFrom(f.r); err != nil {
		return nil, asCorrupt(fmt.Errorf("fragment: %w", err))
	}
	return b.Bytes(), nil
}

// isNew reports whether the fragment whose item begins at offset begins a frame.
func (f *fragments) isNew(offset uint64, fragment []byte) bool {
	switch {
	case f.single:
		return false
	case f.signed:
		return beginsCodestream(fragment)
	case len(f.table) > 0 && offset < f.table[0]:
		return false
	default:
		return true
	}
}

// jpegXL has two bytes only, which may stand anywhere: here an offset table goes first.
const jpegXL = "\xff\x0a"

// signatures are what a frame of each syntax begins with.
var signatures = []string{
	"\xff\xd8\xff",         // JPEG, JPEG-LS: SOI and a marker
	"\xff\x4f\xff\x51",     // JPEG 2000, HTJ2K: SOC, SIZ
	"\x00\x00\x00\x0cjP  ", // the same in a JP2 file, which should not be but is
	jpegXL,                 //
	"\x00\x00\x00\x0cJXL ", // JPEG XL in its container
}

func beginsCodestream(b []byte) bool {
	for _, s := range signatures {
		if bytes.HasPrefix(b, []byte(s)) {
			return true
		}
	}
	return false
}
