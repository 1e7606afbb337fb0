package dicom

import (
	"fmt"
	"io"
	"maps"
)

// Replace reads the Explicit VR Little Endian data set in r, whose text is UTF-8, and writes it with the elements of with in
// the place of its own: those without a value are left out. Nothing else changes but the form of sequences, which get
// delimiters (PS3.5 7.5). Encapsulated Pixel Data is an error.
func Replace(w io.Writer, r io.Reader, with Dataset) error {
	ts, _ := LookupTransferSyntax(ExplicitVRLittleEndian)
	with = maps.Clone(with)
	with[SpecificCharacterSet] = Text{utf8Term}
	left, err := with.elements(ts)
	if err != nil {
		return err
	}
	in := NewReader(r, ts)
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
		token, err := in.Next()
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
			err = copyToken(w, in, token, ts)
		}
		if err != nil {
			return fmt.Errorf("dicom: replace: %w", err)
		}
	}
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
	case ItemStart:
		return write(Item, "", UndefinedLength)
	case ItemEnd:
		return write(ItemDelimitationItem, "", 0)
	case SequenceEnd:
		return write(SequenceDelimitationItem, "", 0)
	}
	return fmt.Errorf("%v is encapsulated", t.Tag)
}
