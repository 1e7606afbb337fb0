package pixeldata

import (
	"bytes"
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
	counts []int    // fragments of each frame not yet begun, where a survey has told; else nil
	told   bool     // it has
	table  []uint64 // of the frames not yet begun: where they begin, counted from the first fragment's item
	offset uint64   // where the next fragment's item begins
	limit  int64    // bytes of a frame
	begun  *fragment
	ended  bool // there are no more fragments
	failed bool // nothing more can be read
	plain  bool // frames are samples, which may begin as anything
	signed bool // the first frame begins with a signature, so every frame does
}

// fragment is one whose first bytes have been read; the rest of it is next.
type fragment struct {
	offset uint64 // where its item begins
	length int64
	head   []byte
}

// newFragments reads the Basic Offset Table.
func newFragments(r *dicom.Reader, a *dicom.Attributes, px pixels, ts dicom.TransferSyntax, s Survey) (*fragments, error) {
	// No codec makes a frame much larger than its pixels; what is larger is no frame.
	f := &fragments{
		r: r, single: px.frames == 1, plain: ts.UID == dicom.EncapsulatedUncompressed || ts.UID == dicom.DeflatedImageFrame,
		counts: s.counts, told: s.counts != nil, limit: 2*int64(px.rows*px.columns*px.samples*px.bytes()) + 1<<20,
	}
	t, err := r.Next()
	if err != nil {
		return nil, asCorrupt(err)
	}
	if t.Kind != dicom.Fragment {
		return nil, fmt.Errorf("%w: Pixel Data without a Basic Offset Table item", ErrCorrupt)
	}
	if f.table, err = offsets(r, t, a); err != nil {
		return nil, asCorrupt(err)
	}
	if len(f.table) != px.frames || f.table[0] != 0 || !slices.IsSorted(f.table) {
		f.table = nil
	}
	for range s.before {
		if err := f.begin(); err != nil || f.begun == nil {
			return f, err
		}
		if err := f.pass(*f.begun); err != nil {
			return nil, err
		}
		f.begun = nil
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
	return f.frame(f.pass)
}

// over reports whether there is no frame behind the last one.
func (f *fragments) over() bool { return f.begun == nil && (f.ended || f.failed) }

// frame calls take for each fragment of the next frame. Those of a frame that is too large are passed over.
func (f *fragments) frame(take func(part fragment) error) error {
	if len(f.table) > 0 {
		f.table = f.table[1:]
	}
	left := 0
	if len(f.counts) > 0 {
		left, f.counts = f.counts[0], f.counts[1:]
	}
	size, tooLarge := int64(0), error(nil)
	for first := true; ; first = false {
		if f.told && !first && left == 0 {
			return tooLarge
		}
		if err := f.begin(); err != nil {
			return err
		}
		switch {
		case f.begun == nil && first:
			return fmt.Errorf("%w: Pixel Data hold fewer frames than Number of Frames says", ErrCorrupt)
		case f.begun == nil, !f.told && !first && f.isNew(*f.begun):
			return tooLarge
		}
		left--
		part := *f.begun
		if size += part.length; size > f.limit && tooLarge == nil {
			tooLarge = fmt.Errorf("%w: a compressed frame of more than %d bytes", ErrCorrupt, f.limit)
			take = f.pass
		}
		if part.offset == 0 {
			weak := bytes.HasPrefix(part.head, []byte(jpegXL)) && f.table != nil
			f.signed = beginsCodestream(part.head) && !weak && !f.plain
		}
		f.begun = nil
		if err := take(part); err != nil {
			f.failed = true
			return err
		}
	}
}

// pass reads over what is left of a fragment.
func (f *fragments) pass(part fragment) error { return asCorrupt(f.r.Skip(part.length)) }

// begin reads the first bytes of the next fragment, where none is begun; begun stays nil at the end of the Pixel Data.
func (f *fragments) begin() error {
	if f.begun != nil || f.ended {
		return nil
	}
	t, err := f.r.Next()
	if err != nil && f.r.LacksDelimiter() {
		f.ended = true
		return nil
	}
	if err != nil {
		f.failed = true
		return asCorrupt(err)
	}
	if t.Kind != dicom.Fragment {
		f.ended = true
		return nil
	}
	part := &fragment{offset: f.offset, length: int64(t.Length), head: make([]byte, min(t.Length, longestSignature))}
	f.offset += 8 + uint64(t.Length)
	if _, err := io.ReadFull(f.r, part.head); err != nil {
		f.failed = true
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
