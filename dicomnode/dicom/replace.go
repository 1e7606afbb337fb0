package dicom

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math"
)

// Replace reads the Explicit VR Little Endian data set in r and writes it with the elements of with in the place of its own:
// those without a value are left out. Text of another character set becomes UTF-8, as well as it can be read. Nothing else
// changes but the form of sequences, which get delimiters (PS3.5 7.5).
func Replace(w io.Writer, r io.Reader, with Dataset) error {
	ts, _ := LookupTransferSyntax(ExplicitVRLittleEndian)
	with = maps.Clone(with)
	with[SpecificCharacterSet] = Text{utf8Term}
	left, err := with.elements(ts)
	if err != nil {
		return err
	}
	in := recoder{r: NewReader(r, ts), sets: make([]characterSet, 1)}
	before := func(t Tag) error { // what stands before t
		for len(left) > 0 && left[0].tag < t {
			if _, err := w.Write(left[0].encoded); err != nil {
				return err
			}
			left = left[1:]
		}
		return nil
	}
	for drop := false; ; {
		token, value, err := in.next()
		if err == io.EOF {
			if err := before(Tag(0xFFFFFFFF)); err != nil {
				return fmt.Errorf("dicom: replace: %w", err)
			}
			return nil
		}
		begins := token.Kind == ElementToken || token.Kind == SequenceStart
		if err == nil && token.Depth == 0 && begins {
			err = before(token.Tag)
		}
		if _, replaced := with[token.Tag]; err == nil && token.Depth == 0 && begins {
			drop = replaced
		}
		if err == nil && !drop {
			err = copyToken(w, value, token, ts)
		}
		if err != nil {
			return fmt.Errorf("dicom: replace: %w", err)
		}
	}
}

// recoder reads tokens whose text is UTF-8.
type recoder struct {
	r    *Reader
	sets []characterSet // of the data set and the items that are open
}

// next returns a token and its value. An item that states a character set states UTF-8.
func (c *recoder) next() (Token, io.Reader, error) {
	t, err := c.r.Next()
	if err == nil && t.Kind == ItemStart {
		c.sets = append(c.sets[:t.Depth], c.sets[t.Depth-1]) // inherited (PS3.3 C.12.1.1.2)
	}
	stated, info := t.Tag == SpecificCharacterSet, vrOf(t.VR)
	if err != nil || t.Kind != ElementToken || t.Length > maxValue || !stated && !info.charset {
		return t, c.r, err
	}
	value := make([]byte, t.Length)
	if _, err := io.ReadFull(c.r, value); err != nil {
		return t, nil, err
	}
	if stated {
		c.sets[t.Depth] = parseCharacterSet(string(value))
		value = []byte(utf8Term)
	} else {
		value = []byte(c.sets[t.Depth].likely(value, delimitersOf(t.VR)))
	}
	if len(value)%2 == 1 {
		value = append(value, info.pad())
	}
	if t.Length = uint32(len(value)); !info.long && len(value) > math.MaxUint16 {
		return t, nil, fmt.Errorf("%v: its text in UTF-8 does not fit into the length of %s", t.Tag, t.VR)
	}
	return t, bytes.NewReader(value), nil
}

type encodedElement struct {
	tag     Tag
	encoded []byte
}

// elements encodes each element of ds that has a value, in UTF-8.
func (ds Dataset) elements(ts TransferSyntax) ([]encodedElement, error) {
	charset := Dataset{SpecificCharacterSet: Text{utf8Term}}
	head, err := charset.Append(nil, ts)
	if err != nil {
		return nil, err
	}
	var all []encodedElement
	for _, t := range ds.Tags() {
		if text, ok := ds[t].(Text); ok && len(text) == 0 {
			continue
		}
		encoded, err := Dataset{SpecificCharacterSet: charset[SpecificCharacterSet], t: ds[t]}.Append(nil, ts)
		if err != nil {
			return nil, err
		}
		if t != SpecificCharacterSet {
			encoded = encoded[len(head):]
		}
		all = append(all, encodedElement{t, encoded})
	}
	return all, nil
}

func copyToken(w io.Writer, value io.Reader, t Token, ts TransferSyntax) error {
	var header [12]byte
	write := func(tag Tag, vr string, length uint32) error {
		_, err := w.Write(AppendHeader(header[:0], ts, tag, vr, length))
		return err
	}
	switch t.Kind {
	case ElementToken:
		if err := write(t.Tag, t.VR, t.Length); err != nil {
			return err
		}
		_, err := io.Copy(w, value)
		return err
	case SequenceStart:
		return write(t.Tag, t.VR, UndefinedLength)
	case FragmentsStart:
		return write(t.Tag, "OB", UndefinedLength)
	case Fragment:
		if err := write(Item, "", t.Length); err != nil {
			return err
		}
		_, err := io.Copy(w, value)
		return err
	case ItemStart:
		return write(Item, "", UndefinedLength)
	case ItemEnd:
		return write(ItemDelimitationItem, "", 0)
	case SequenceEnd:
		return write(SequenceDelimitationItem, "", 0)
	}
	return fmt.Errorf("%v: not known here", t.Tag)
}
