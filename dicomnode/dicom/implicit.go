package dicom

import (
	"fmt"
	"io"
)

// WriteImplicit reads the Explicit VR Little Endian data set in r and writes it in Implicit VR Little Endian, the
// transfer syntax that every application entity has to know (PS3.5 10.1). Values stay byte for byte; sequences and
// items get delimiters (PS3.5 7.5). Encapsulated Pixel Data is an error: no uncompressed syntax has it. So is a value in
// the place of a sequence, which a reader would take for its items.
func WriteImplicit(w io.Writer, r io.Reader) error {
	ts, _ := LookupTransferSyntax(ExplicitVRLittleEndian)
	in := NewReader(r, ts)
	for {
		token, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = writeImplicit(w, in, token)
		}
		if err != nil {
			return fmt.Errorf("dicom: to implicit VR: %w", err)
		}
	}
}

func writeImplicit(w io.Writer, value io.Reader, t Token) error {
	switch t.Kind {
	case ElementToken:
		if t.Length > 0 && VROf(t.Tag) == "SQ" {
			return fmt.Errorf("%v: %w", t.Tag, untellable(t.VR))
		}
		if err := writeImplicitHeader(w, t.Tag, t.Length); err != nil {
			return err
		}
		_, err := io.Copy(w, value)
		return err
	case SequenceStart:
		return writeImplicitHeader(w, t.Tag, UndefinedLength)
	case ItemStart:
		return writeImplicitHeader(w, Item, UndefinedLength)
	case ItemEnd:
		return writeImplicitHeader(w, ItemDelimitationItem, 0)
	case SequenceEnd:
		return writeImplicitHeader(w, SequenceDelimitationItem, 0)
	}
	return fmt.Errorf("%v is encapsulated", t.Tag)
}

func writeImplicitHeader(w io.Writer, tag Tag, length uint32) error {
	var header [8]byte
	e := appender{b: header[:0], order: little}
	e.item(tag, length)
	_, err := w.Write(e.b)
	return err
}
