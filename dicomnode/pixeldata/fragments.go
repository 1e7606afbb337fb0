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
	begun  *fragment
	ended  bool
	signed bool // the first frame begins with a signature, so every frame does
}

// fragment is one whose first bytes have been read; the rest of it is next.
type fragment struct {
	offset uint64 // where its item begins
	length int64
	head   []byte
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
	var frame bytes.Buffer
	err := f.frame(func(part fragment) error {
		// The buffer grows with what arrives, not with what the length claims.
		frame.Grow(int(min(part.length, 64<<10)))
		frame.Write(part.head)
		if _, err := frame.ReadFrom(f.r); err != nil {
			return asCorrupt(fmt.Errorf("fragment: %w", err))
		}
		return nil
	})
	return frame.Bytes(), err
}

// skip passes over the next frame; of its fragments only the first bytes are looked at.
func (f *fragments) skip() error {
	return f.frame(func(part fragment) error { return asCorrupt(f.r.Skip(part.length)) })
}

// frame calls take for each fragment of the next frame.
func (f *fragments) frame(take func(part fragment) error) error {
	if len(f.table) > 0 {
		f.table = f.table[1:]
	}
	size := int64(0)
	for first := true; ; first = false {
		if err := f.begin(); err != nil {
			return err
		}
		switch {
		case f.begun == nil && first:
			return fmt.Errorf("%w: Pixel Data hold fewer frames than Number of Frames says", ErrCorrupt)
		case f.begun == nil, !first && f.isNew(*f.begun):
			return nil
		}
		part := *f.begun
		if size += part.length; size > f.limit {
			return fmt.Errorf("%w: a compressed frame of more than %d bytes", ErrCorrupt, f.limit)
		}
		if part.offset == 0 {
			weak := bytes.HasPrefix(part.head, []byte(jpegXL)) && f.table != nil
			f.signed = beginsCodestream(part.head) && !weak
		}
		if err := take(part); err != nil {
			return err
		}
		f.begun = nil
	}
}

// begin reads the first bytes of the next fragment, where none is begun; begun stays nil at the end of the Pixel Data.
func (f *fragments) begin() error {
	if f.begun != nil || f.ended {
		return nil
	}
	t, err := f.r.Next()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return asCorrupt(err)
	}
	if t.Kind != dicom.Fragment {
		f.ended = true
		return nil
	}
	if int64(t.Length) > f.limit {
		return fmt.Errorf("%w: a fragment of %d bytes", ErrCorrupt, t.Length)
	}
	part := &fragment{offset: f.offset, length: int64(t.Length), head: make([]byte, min(t.Length, longestSignature))}
	f.offset += 8 + uint64(t.Length)
	if _, err := io.ReadFull(f.r, part.head); err != nil {
		return asCorrupt(fmt.Errorf("fragment: %w", err))
	}
	f.begun = part
	return nil
}

// isNew reports whether a fragment begins a frame.
func (f *fragments) isNew(part fragment) bool {
	switch {
	case f.single:
		return false
	case f.signed:
		return beginsCodestream(part.head)
	case len(f.table) > 0 && part.offset < f.table[0]:
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

const longestSignature = 8

func beginsCodestream(b []byte) bool {
	for _, s := range signatures {
		if bytes.HasPrefix(b, []byte(s)) {
			return true
		}
	}
	return false
}
