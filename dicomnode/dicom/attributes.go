package dicom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
)

// Bounds of what Attributes keeps; what exceeds them is read over, not refused: a large private
// element must not lose an instance.
const (
	maxValue     = 128 << 10 // bytes of one value: a full Palette Color Lookup Table
	maxKept      = 4 << 20   // bytes of all values and their book-keeping
	keptForTop   = 1 << 20   // part of maxKept that private elements and those inside sequences may not take
	costPerEntry = 96        // bytes an element or an item takes beside its value
	chunk        = 4 << 10   // values are cut from blocks of this size
	keptDepth    = 64        // nested sequences; also of what is written
)

// Element is one data element: a value, or the items of a sequence.
type Element struct {
	Tag   Tag
	VR    string        // as encoded; from PS3.6 in Implicit VR and for UN; "UN" where nobody knows
	Value []byte        // as encoded, in the data set's byte order; nil in a sequence
	Items []*Attributes // of a sequence
}

// Passed is an element that was passed over because of its length.
type Passed struct {
	Tag    Tag
	VR     string
	Length uint32 // of its value
}

// Attributes are the elements of a data set or of an item, without Pixel Data. They do not change after
// ReadAttributes has returned and may be read from any goroutine. A nil *Attributes is empty.
type Attributes struct {
	elements []Element
	order    binary.ByteOrder
	charset  characterSet
	passed   []Passed
	lost     bool // while reading: the sequence that is open was not kept
	lacks    bool // something was passed over of which nothing is known
}

// ReadAttributes reads the data set in r up to and including the header of its Pixel Data (7FE0,0010), Float or
// Double Float Pixel Data, or to its end. Values over 128 KiB, fragments, and what would make more than 4 MiB are
// passed over. On an error it returns the attributes read so far beside it: errors wrap ErrCorrupt, ErrTooLarge,
// io.ErrUnexpectedEOF or are r's own.
//
// Except for the deflated syntax it takes no byte more than that from r. To keep a copy of every byte, tee below it
// and copy the rest from the tee; this holds for the deflated syntax too, as the tee sees what inflating read ahead:
//
//	tee := io.TeeReader(dataset, spool)
//	attributes, err := dicom.ReadAttributes(tee, ts)
//	_, err = io.Copy(io.Discard, tee) // now spool has the whole data set, each byte once
func ReadAttributes(r io.Reader, ts TransferSyntax) (*Attributes, error) {
	a, _, err := NewReader(r, ts).Attributes()
	return a, err
}

// Attributes reads elements as ReadAttributes does and returns the token of the Pixel Data, whose value or
// fragments are next, or a zero Token where the data set has ended without.
// It is called before any call of Next.
func (r *Reader) Attributes() (*Attributes, Token, error) {
	top := &Attributes{order: r.top().order(), elements: make([]Element, 0, 64)}
	b := builder{r: r, left: maxKept, stack: []*Attributes{top}}
	for {
		t, err := r.Next()
		switch {
		case err == io.EOF:
			return b.stack[0], Token{}, nil
		case err != nil:
			return b.stack[0], Token{}, err
		case t.Depth == 0 && isPixelData(t.Tag) && (t.Kind == ElementToken || t.Kind == FragmentsStart):
			return b.stack[0], t, nil
		}
		if err := b.add(t); err != nil {
			return b.stack[0], Token{}, err
		}
	}
}

func isPixelData(t Tag) bool {
	return t == PixelData || t == FloatPixelData || t == DoubleFloatPixelData
}

// builder makes Attributes out of tokens. The stack holds the data set and the items that are open.
type builder struct {
	r     *Reader
	left  int // of maxKept
	stack []*Attributes
	block []byte
}

func (b *builder) add(t Token) error {
	switch t.Kind {
	case ElementToken:
		return b.element(t)
	case SequenceStart:
		if parent := b.parent(); parent != nil && b.pay(t.Tag, costPerEntry) {
			parent.elements = append(parent.elements, Element{Tag: t.Tag, VR: t.VR})
		} else if parent != nil {
			parent.lost, b.stack[0].lacks = true, true
		}
	case ItemStart:
		b.open()
	case ItemEnd:
		b.stack = b.stack[:len(b.stack)-1]
	case SequenceEnd:
		if parent := b.parent(); parent != nil {
			parent.lost = false
		}
	}
	return nil // fragments of an icon: Next passes over them
}

func (b *builder) parent() *Attributes { return b.stack[len(b.stack)-1] }

// open starts an item of the sequence that was added last. Where that sequence was not kept,
// the item is a nil *Attributes, and nothing in it is kept either.
func (b *builder) open() {
	parent := b.parent()
	var item *Attributes
	if parent != nil && len(b.stack) > keptDepth {
		b.r.remark(RemarkDepth)
		parent.lost = true
	}
	if parent != nil && !parent.lost && b.pay(Item, costPerEntry) {
		item = &Attributes{order: b.r.top().order(), charset: parent.charset}
		sequence := &parent.elements[len(parent.elements)-1]
		sequence.Items = append(sequence.Items, item)
	} else {
		b.stack[0].lacks = true
	}
	b.stack = append(b.stack, item)
}

func (b *builder) element(t Token) error {
	parent := b.parent()
	if parent == nil || t.Depth == 0 && isPixelData(t.Tag) {
		return nil
	}
	if t.Length > maxValue || !b.pay(t.Tag, costPerEntry+int(t.Length)) {
		if b.pay(t.Tag, costPerEntry) {
			parent.passed = append(parent.passed, Passed{t.Tag, t.VR, t.Length})
		} else {
			b.stack[0].lacks = true
		}
		return nil
	}
	value := b.cut(int(t.Length))
	if _, err := io.ReadFull(b.r, value); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("dicom: value of %v: %w", t.Tag, err)
	}
	parent.elements = append(parent.elements, Element{Tag: t.Tag, VR: t.VR, Value: value})
	if t.Tag == SpecificCharacterSet {
		parent.charset = parseCharacterSet(string(value))
	}
	return nil
}

// pay takes n bytes from what may still be kept.
func (b *builder) pay(t Tag, n int) bool {
	reserve := 0
	if len(b.stack) > 1 || t == Item || t.Group()%2 == 1 {
		reserve = keptForTop
	}
	if n > b.left-reserve {
		return false
	}
	b.left -= n
	return true
}

// cut returns n fresh bytes.
func (b *builder) cut(n int) []byte {
	if n > chunk/4 {
		return make([]byte, n)
	}
	if n > len(b.block) {
		b.block = make([]byte, chunk)
	}
	value := b.block[:n:n]
	b.block = b.block[n:]
	return value
}

// Tags returns the tags in the order of the data set.
func (a *Attributes) Tags() iter.Seq[Tag] {
	return func(yield func(Tag) bool) {
		if a == nil {
			return
		}
		for _, e := range a.elements {
			if !yield(e.Tag) {
				return
			}
		}
	}
}

// Only returns the elements of a at the top that keep takes.
func (a *Attributes) Only(keep func(Tag) bool) *Attributes {
	if a == nil {
		return nil
	}
	some := *a
	some.elements = slices.DeleteFunc(slices.Clone(a.elements), func(e Element) bool { return !keep(e.Tag) })
	some.passed = slices.DeleteFunc(slices.Clone(a.passed), func(p Passed) bool { return !keep(p.Tag) })
	return &some
}

// With returns a with an element at the top, in the place of those of its tag.
func (a *Attributes) With(e Element) *Attributes {
	more := *a.Only(func(t Tag) bool { return t != e.Tag })
	more.elements = append(more.elements, e)
	return &more
}

// Lacks reports whether a holds less than was read, and not even Passed says what of: the bounds of [ReadAttributes] were met.
func (a *Attributes) Lacks() bool { return a != nil && a.lacks }

// Get returns the element of t; of several with the same tag the first.
func (a *Attributes) Get(t Tag) (Element, bool) {
	if a == nil {
		return Element{}, false
	}
	for i := range a.elements {
		if a.elements[i].Tag == t {
			return a.elements[i], true
		}
	}
	return Element{}, false
}

// Item returns the item of sequence t with index i, counted from 0, or nil where there is none.
func (a *Attributes) Item(t Tag, i int) *Attributes {
	e, ok := a.Get(t)
	if !ok || i < 0 || i >= len(e.Items) {
		return nil
	}
	return e.Items[i]
}

// ByteOrder is the byte order of the binary values.
func (a *Attributes) ByteOrder() binary.ByteOrder {
	if a == nil || a.order == nil {
		return binary.LittleEndian
	}
	return a.order
}
