package dicom

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Bounds of a data set. A real one stays far below them; what exceeds them is hostile or broken.
const (
	maxDepth    = 4096    // nested sequences
	maxInflated = 8 << 30 // bytes out of a deflated data set: a bomb ends here
)

// UndefinedLength is the length of a sequence, item or encapsulated Pixel Data that ends by a delimiter (PS3.5 7.5).
const UndefinedLength uint32 = math.MaxUint32

var (
	// ErrCorrupt: the bytes are not a data set of the transfer syntax they are said to be in.
	ErrCorrupt = errors.New("dicom: corrupt data set")
	// ErrTooLarge: the data set exceeds a bound that protects the reader.
	ErrTooLarge = errors.New("dicom: data set exceeds a limit")
)

// Kind says what a Token is.
type Kind uint8

// Kinds of tokens. Every SequenceStart and FragmentsStart is followed by its SequenceEnd, every ItemStart by
// its ItemEnd, whether the encoding has delimiters or defined lengths.
const (
	ElementToken   Kind = iota + 1 // an element; Read returns its value
	SequenceStart                  // a sequence of items
	ItemStart                      // an item: elements follow
	ItemEnd                        //
	SequenceEnd                    // the end of a sequence or of fragments
	FragmentsStart                 // encapsulated Pixel Data (PS3.5 A.4): Fragment tokens follow, the first is the Basic Offset Table
	Fragment                       // a fragment; Read returns its bytes
)

// Token is the next thing in a data set.
type Token struct {
	Kind   Kind
	Tag    Tag
	VR     string // as encoded; from PS3.6 in Implicit VR and for UN
	Length uint32 // of the value in bytes, or UndefinedLength
	Depth  int    // sequences around it: 0 for an element of the data set itself
}

// Reader reads a data set as a stream of tokens, with one element header in memory at a time.
// Next gives the next token, Read the value of the token last given.
// Except for the deflated syntax it never takes more from its source than it has handed out.
type Reader struct {
	src    io.Reader
	pos    int64 // bytes taken from src
	value  int64 // bytes of the current value not yet read
	levels []level
	closed bool     // a sequence delimiter stood where its item's was due: the sequence's end comes next
	early  Tag      // read where an item was due: the sequence had no delimiter; 0: none
	begun  bool     // a header of an element, item or delimiter has begun, other than with the zeros that some writers pad with
	says   []string // what is wrong with what was read and has cost nothing
	err    error
	buf    [8]byte
}

// level is something that holds elements, items or fragments.
type level struct {
	kind      Kind // 0 for the data set itself, ItemStart, SequenceStart, FragmentsStart
	tag       Tag
	end       int64 // position where it ends, -1 where a delimiter ends it
	limit     int64 // position that nothing inside may pass
	explicit  bool
	bigEndian bool
	begun     bool // an element of it has been read
}

// NewReader returns a reader of the data set in r, which starts after any file meta information.
// r is read in small pieces: give it a buffer where a call is dear.
func NewReader(r io.Reader, ts TransferSyntax) *Reader {
	if ts.Deflated {
		// flate reads ahead of what it has handed out, by up to this buffer (PS3.5 A.5).
		r = io.LimitReader(inflater{flate.NewReader(bufio.NewReaderSize(r, 4096))}, maxInflated)
	}
	top := level{end: -1, limit: math.MaxInt64, explicit: ts.ExplicitVR, bigEndian: ts.BigEndian}
	return &Reader{src: r, levels: []level{top}}
}

// inflater tells a corrupt stream from a source that fails, and one that ends early from a data set that does.
type inflater struct{ io.Reader }

// ErrDeflate: the deflated stream does not go on, wherever the data set stands (PS3.5 A.5). It comes with another error.
var ErrDeflate = errors.New("deflated stream")

func (i inflater) Read(p []byte) (int, error) {
	n, err := i.Reader.Read(p)
	switch corrupt := flate.CorruptInputError(0); {
	case errors.As(err, &corrupt):
		err = fmt.Errorf("%w: %w: %w", ErrCorrupt, ErrDeflate, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: %w", ErrDeflate, err)
	}
	return n, err
}

// Next skips what is left of the current value and returns the next token; io.EOF at the end of the data set.
// Other errors wrap ErrCorrupt, ErrTooLarge, io.ErrUnexpectedEOF or are the source's own, and stay.
func (r *Reader) Next() (Token, error) {
	if r.err != nil {
		return Token{}, r.err
	}
	for {
		t, err := r.next()
		if errors.Is(err, io.ErrUnexpectedEOF) && len(r.levels) == 1 && r.value == 0 && !r.begun && !errors.Is(err, ErrDeflate) {
			err = io.EOF // zeros behind the end, too few for an element
			r.remark(RemarkPadded)
		}
		if err != nil {
			r.err = err
		}
		if err != nil || t.Kind != 0 {
			return t, err
		}
	}
}

// Read reads from the value of the current element or fragment; io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.value == 0 {
		return 0, io.EOF
	}
	if r.err != nil {
		return 0, r.err
	}
	if int64(len(p)) > r.value {
		p = p[:r.value]
	}
	n, err := r.src.Read(p)
	r.pos += int64(n)
	r.value -= int64(n)
	switch {
	case r.value == 0:
		err = nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

// Skip passes over n bytes of the value of the current element or fragment, or what is left of it. A source that has a
// method Skip(int64) error is asked for it and not read.
func (r *Reader) Skip(n int64) error {
	n = min(n, r.value)
	if r.err != nil || n <= 0 {
		return r.err
	}
	source, ok := r.src.(interface{ Skip(n int64) error })
	if !ok {
		_, err := io.CopyN(io.Discard, r, n)
		return err
	}
	r.pos += n
	r.value -= n
	r.err = source.Skip(n)
	return r.err
}

// next returns the next token, or the zero Token for something to pass over.
func (r *Reader) next() (Token, error) {
	if err := r.Skip(r.value); err != nil {
		return Token{}, fmt.Errorf("dicom: value: %w", err)
	}
	top := r.top()
	if r.closed {
		r.closed = false
		return r.pop(), nil
	}
	if top.end >= 0 && r.pos >= top.end {
		return r.pop(), nil
	}
	tag, err := r.tag(top)
	if err != nil {
		return Token{}, err
	}
	switch {
	case tag.Group() == 0xFFFE:
		return r.delimiter(top, tag)
	case top.kind == SequenceStart, top.kind == FragmentsStart:
		if tag == 0 && top.end < 0 {
			return r.zeros(top)
		}
		if top.end < 0 && tag > top.tag && r.levels[len(r.levels)-2].end < 0 {
			r.early = tag // the next element: nothing but the delimiter before it is missing
			r.remark(RemarkDelimiter)
			return r.pop(), nil
		}
		return Token{}, fmt.Errorf("%w: %v where an item of %v is due", ErrCorrupt, tag, top.tag)
	default:
		return r.element(top, tag)
	}
}

// zeros ends a sequence where some writers have eight zeros in place of its delimiter.
func (r *Reader) zeros(top *level) (Token, error) {
	length, err := r.length(top, 0)
	if err != nil {
		return Token{}, err
	}
	if length != 0 {
		return Token{}, fmt.Errorf("%w: %v where an item of %v is due", ErrCorrupt, Tag(0), top.tag)
	}
	r.remark(RemarkDelimiter)
	return r.pop(), nil
}

func (r *Reader) top() *level { return &r.levels[len(r.levels)-1] }

// depth counts the sequences that are open.
func (r *Reader) depth() int { return len(r.levels) / 2 }

// pop leaves the innermost level.
func (r *Reader) pop() Token {
	top := *r.top()
	r.levels = r.levels[:len(r.levels)-1]
	t := Token{Kind: SequenceEnd, Tag: top.tag, VR: "SQ", Depth: r.depth()}
	if top.kind == ItemStart {
		t.Kind, t.VR = ItemEnd, ""
	}
	return t
}

func (r *Reader) push(l level) error {
	if len(r.levels) > 2*maxDepth {
		return fmt.Errorf("%w: sequences are nested deeper than %d", ErrTooLarge, maxDepth)
	}
	r.levels = append(r.levels, l)
	return nil
}

// fill reads n bytes of an element's header.
func (r *Reader) fill(n int) ([]byte, error) {
	if r.pos+int64(n) > r.top().limit {
		return nil, fmt.Errorf("%w: an element passes the end of its item or sequence", ErrCorrupt)
	}
	got, err := io.ReadFull(r.src, r.buf[:n])
	r.pos += int64(got)
	for _, b := range r.buf[:got] {
		r.begun = r.begun || b != 0
	}
	return r.buf[:n], err
}

// tag reads a tag; io.EOF only where the data set may end.
func (r *Reader) tag(l *level) (Tag, error) {
	if t := r.early; t != 0 {
		r.early = 0
		return t, nil
	}
	r.begun = false
	b, err := r.fill(4)
	if err == io.EOF && len(r.levels) > 1 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		if err != io.EOF {
			err = fmt.Errorf("dicom: element header: %w", err)
		}
		return 0, err
	}
	return Tag(l.uint16(b))<<16 | Tag(l.uint16(b[2:])), nil
}

func (l *level) order() binary.ByteOrder {
	if l.bigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (l *level) uint16(b []byte) uint16 { return l.order().Uint16(b) }
func (l *level) uint32(b []byte) uint32 { return l.order().Uint32(b) }

// length reads a 32-bit length.
func (r *Reader) length(l *level, tag Tag) (uint32, error) {
	b, err := r.fill(4)
	if err != nil {
		return 0, cutHeader(tag, err)
	}
	return l.uint32(b), nil
}

func cutHeader(tag Tag, err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("dicom: header of %v: %w", tag, err)
}

// delimiter handles items and the delimiters of PS3.5 7.5.
func (r *Reader) delimiter(top *level, tag Tag) (Token, error) {
	length, err := r.length(top, tag)
	if errors.Is(err, io.ErrUnexpectedEOF) && tag == SequenceDelimitationItem && top.kind == FragmentsStart && len(r.levels) == 2 {
		r.remark(RemarkDelimiter) // all but the zeros behind it is there
		return r.pop(), nil
	}
	if err != nil {
		return Token{}, err
	}
	switch {
	case tag == Item && (top.kind == SequenceStart || top.kind == FragmentsStart):
		return r.item(top, length)
	case tag == ItemDelimitationItem && top.kind == ItemStart && top.end < 0:
		return r.pop(), nil
	case tag == SequenceDelimitationItem && top.end < 0 && (top.kind == SequenceStart || top.kind == FragmentsStart):
		return r.pop(), nil
	case tag == SequenceDelimitationItem && top.kind == ItemStart && top.end < 0 && r.levels[len(r.levels)-2].end < 0:
		r.closed = true // some writers leave the item's delimiter out
		return r.pop(), nil
	case tag != Item && top.kind == 0 && length == 0:
		return Token{}, nil // a stray delimiter between elements harms nobody
	case tag == SequenceDelimitationItem && top.kind == SequenceStart && r.pos == top.end && length == 0,
		tag == ItemDelimitationItem && top.kind == ItemStart && r.pos == top.end && length == 0:
		return Token{}, nil // nor one at the end of a sequence or item of defined length
	default:
		return Token{}, fmt.Errorf("%w: %v out of place", ErrCorrupt, tag)
	}
}

func (r *Reader) item(top *level, length uint32) (Token, error) {
	t := Token{Kind: ItemStart, Tag: Item, Length: length, Depth: r.depth()}
	if left := top.limit - r.pos; top.kind == SequenceStart && length != UndefinedLength && int64(length) > left && left < math.MaxUint32 {
		r.remark(RemarkItem)
		length = uint32(left)
	}
	end, limit, err := r.span(top, Item, length)
	if err != nil {
		return Token{}, err
	}
	if top.kind == FragmentsStart {
		if length == UndefinedLength {
			return Token{}, fmt.Errorf("%w: a fragment of %v has undefined length", ErrCorrupt, top.tag)
		}
		t.Kind, t.VR, r.value = Fragment, "OB", int64(length)
		return t, nil
	}
	return t, r.push(level{kind: ItemStart, tag: top.tag, end: end, limit: limit, explicit: top.explicit, bigEndian: top.bigEndian})
}

// span turns a length into the position where the value ends, checked against what is around it.
func (r *Reader) span(l *level, tag Tag, length uint32) (end, limit int64, err error) {
	if length == UndefinedLength {
		return -1, l.limit, nil
	}
	end = r.pos + int64(length)
	if end > l.limit {
		return 0, 0, fmt.Errorf("%w: %v has %d bytes, more than is left around it", ErrCorrupt, tag, length)
	}
	return end, end, nil
}

// element reads the rest of an element's header and says what its value is.
func (r *Reader) element(top *level, tag Tag) (Token, error) {
	vr, length, err := r.vrAndLength(top, tag)
	if err != nil {
		return Token{}, err
	}
	inner := level{tag: tag, explicit: top.explicit, bigEndian: top.bigEndian}
	if vr == "UN" {
		if known := VROf(tag); known == "SQ" || length == UndefinedLength {
			// PS3.5 6.2.2 note 2: what is inside UN is Implicit VR Little Endian.
			vr, inner.explicit, inner.bigEndian = "SQ", false, false
		} else if !top.bigEndian || vrOf(known).text {
			vr = known // of numbers in Big Endian nobody knows whether their writer turned them around
		}
	}
	t := Token{Kind: ElementToken, Tag: tag, VR: vr, Length: length, Depth: r.depth()}
	end, limit, err := r.span(top, tag, length)
	if err != nil {
		return Token{}, err
	}
	switch {
	case length == UndefinedLength && (tag == PixelData || vr == "OB" || vr == "OW"):
		t.Kind, inner.kind = FragmentsStart, FragmentsStart
	case vr == "SQ":
		t.Kind, inner.kind = SequenceStart, SequenceStart
	case length == UndefinedLength:
		return Token{}, fmt.Errorf("%w: %v of VR %s has undefined length", ErrCorrupt, tag, vr)
	default:
		r.value = int64(length)
		return t, nil
	}
	inner.end, inner.limit = end, limit
	return t, r.push(inner)
}

// vrAndLength reads what follows the tag (PS3.5 7.1).
func (r *Reader) vrAndLength(l *level, tag Tag) (string, uint32, error) {
	b, err := r.fill(4)
	if err != nil {
		return "", 0, cutHeader(tag, err)
	}
	if !l.explicit && !l.begun && !l.bigEndian && string(b[:2]) == VROf(tag) {
		l.explicit = true // what some writers put into Implicit VR: as a length these letters would be many kilobytes
	}
	l.begun = true
	if l.explicit && !letters(b) && tag != PixelData && (printable(b) || b[0] == 0 && b[1] == 0) {
		return "UN", uint32(l.uint16(b[2:])), nil // what some toolkits write for a VR that they do not know
	}
	if !l.explicit || !letters(b) {
		// Some writers drop into Implicit VR in the middle of an explicit data set.
		length := l.uint32(b)
		vr := VROf(tag)
		if length == UndefinedLength && tag != PixelData {
			vr = "SQ"
		}
		return vr, length, nil
	}
	info, known := vrAt(b[0], b[1])
	if !known {
		info = vrInfo{name: "UN", long: true} // PS3.5 6.2: a VR of the future has the long form
	}
	if !info.long {
		return info.name, uint32(l.uint16(b[2:])), nil
	}
	length, err := r.length(l, tag)
	return info.name, length, err
}

func printable(b []byte) bool {
	return b[0] >= ' ' && b[0] <= '~' && b[1] >= ' ' && b[1] <= '~'
}

func letters(b []byte) bool {
	return b[0] >= 'A' && b[0] <= 'Z' && b[1] >= 'A' && b[1] <= 'Z'
}
