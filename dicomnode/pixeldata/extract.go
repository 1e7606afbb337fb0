package pixeldata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"endogate/dicomnode/dicom"
)

// Extract is a data set that has nothing of an instance but the pixels and what decoding them needs: neither a UID nor a
// word about a patient, and of compressed frames what decoding needs, without the comments that cameras put there.
type Extract struct {
	TransferSyntax dicom.TransferSyntax // that of the instance; of a deflated one the same undeflated

	head   []byte // the elements before Pixel Data
	pixels func(w io.Writer) error
}

// Extract returns what there is to decode of the instance, in place of Frames. An error that wraps ErrUnsupported or
// ErrCorrupt says that there is nothing.
func (i *Instance) Extract() (*Extract, error) {
	px, err := i.describe()
	if err != nil {
		return nil, err
	}
	e := &Extract{TransferSyntax: i.ts}
	if i.ts.Deflated {
		e.TransferSyntax, _ = dicom.LookupTransferSyntax(dicom.ExplicitVRLittleEndian)
	}
	if e.head, err = i.decoding(px).Append(nil, e.TransferSyntax); err != nil {
		return nil, err
	}
	if i.token.Kind == dicom.ElementToken {
		size := min(int64(i.token.Length), int64(px.size())*int64(px.frames))
		size += size % 2
		e.pixels = func(w io.Writer) error {
			if err := e.header(w, dicom.PixelData, i.token.VR, uint32(size)); err != nil {
				return err
			}
			_, err := io.CopyN(w, i.reader, size)
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return asCorrupt(err)
		}
		return e, nil
	}
	frames, err := newFragments(i.reader, i.Attributes, px, i.ts, i.survey)
	if err != nil {
		return nil, err
	}
	e.pixels = func(w io.Writer) error { return e.encapsulate(w, frames, px) }
	return e, nil
}

// WriteTo writes the data set, a frame of it in memory at a time. It can be called once. An error that wraps ErrWords says
// that the rest must stay where the instance is; what was written before is good.
func (e *Extract) WriteTo(w io.Writer) (int64, error) {
	counted := &counter{w: w}
	if _, err := counted.Write(e.head); err != nil {
		return counted.n, err
	}
	return counted.n, e.pixels(counted)
}

// decoding is what describe has read.
func (i *Instance) decoding(px pixels) dicom.Dataset {
	a := i.Attributes
	ds := dicom.Dataset{
		dicom.Rows: dicom.Ints{px.rows}, dicom.Columns: dicom.Ints{px.columns}, dicom.SamplesPerPixel: dicom.Ints{px.samples},
		dicom.PhotometricInterpretation: dicom.Text{px.photometric}, dicom.NumberOfFrames: dicom.Ints{px.frames},
		dicom.BitsAllocated: dicom.Ints{px.allocated}, dicom.BitsStored: dicom.Ints{px.stored}, dicom.HighBit: dicom.Ints{px.high},
		dicom.PixelRepresentation: dicom.Ints{number(a, dicom.PixelRepresentation, 0)},
	}
	if texts := a.Aspect().Texts(); texts != nil {
		ds[dicom.PixelAspectRatio] = dicom.Text(texts)
	}
	if px.samples > 1 {
		ds[dicom.PlanarConfiguration] = dicom.Ints{number(a, dicom.PlanarConfiguration, 0)}
	}
	for _, t := range []dicom.Tag{dicom.RescaleSlope, dicom.RescaleIntercept, dicom.WindowCenter, dicom.WindowWidth} {
		if _, ok := a.Float(t); ok { // the number as it stands there, and none but the first
			first, _, _ := strings.Cut(a.Text(t), `\`)
			ds[t] = dicom.As{Verbatim: true, Value: dicom.Text{first}}
		}
	}
	if px.window != nil && px.window.Function != Linear {
		ds[dicom.VOILUTFunction] = dicom.Text{string(px.window.Function)}
	}
	if px.voi != nil {
		item, vr := a.Item(dicom.VOILUTSequence, 0), "US"
		if px.voi.signed {
			vr = "SS"
		}
		descriptor, _ := item.Get(dicom.LUTDescriptor)
		table, _ := item.Get(dicom.LUTData)
		ds[dicom.VOILUTSequence] = dicom.Items{{
			dicom.LUTDescriptor: dicom.As{VR: vr, Verbatim: true, Value: littleEndian(descriptor.Value, a.ByteOrder())},
			dicom.LUTData:       dicom.As{VR: "OW", Verbatim: true, Value: littleEndian(table.Value, a.ByteOrder())},
		}}
	}
	if px.palette != nil {
		for _, t := range []dicom.Tag{
			dicom.RedPaletteColorLookupTableDescriptor, dicom.GreenPaletteColorLookupTableDescriptor, dicom.BluePaletteColorLookupTableDescriptor,
			dicom.RedPaletteColorLookupTableData, dicom.GreenPaletteColorLookupTableData, dicom.BluePaletteColorLookupTableData,
		} {
			element, _ := a.Get(t)
			ds[t] = dicom.As{VR: "OW", Verbatim: true, Value: littleEndian(element.Value, a.ByteOrder())}
		}
	}
	return ds
}

// littleEndian is a value of 16-bit words as the writer wants it.
func littleEndian(value []byte, order binary.ByteOrder) dicom.Bytes {
	words := bytes.Clone(value)
	for i := 0; i+1 < len(words); i += 2 {
		binary.LittleEndian.PutUint16(words[i:], order.Uint16(value[i:]))
	}
	return words
}

// header writes that of Pixel Data, or of an item.
func (e *Extract) header(w io.Writer, t dicom.Tag, vr string, length uint32) error {
	_, err := w.Write(dicom.AppendHeader(nil, e.TransferSyntax, t, vr, length))
	return err
}

// encapsulate writes every frame as one fragment behind an empty offset table (PS3.5 A.4). In the place of one that is
// broken goes nothing but how a codestream begins, so that those behind it keep their numbers.
func (e *Extract) encapsulate(w io.Writer, frames *fragments, px pixels) error {
	if err := e.header(w, dicom.PixelData, "OB", dicom.UndefinedLength); err != nil {
		return err
	}
	if err := e.header(w, dicom.Item, "", 0); err != nil {
		return err
	}
	var beginning []byte
	for n := range px.frames {
		frame, err := frames.next()
		if errors.Is(err, ErrCorrupt) && n > 0 && frames.over() {
			break // what is missing is missed there too
		}
		if err == nil {
			frame, err = withoutWords(frame, px, e.TransferSyntax.UID == dicom.RLELossless)
		}
		if n > 0 && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrWords)) {
			frame, err = beginning, nil
		}
		if n == 0 && err == nil {
			beginning = bytes.Clone(frame[:min(len(frame), 4)])
		}
		if err != nil {
			return fmt.Errorf("frame %d of %d: %w", n+1, px.frames, err)
		}
		if len(frame)%2 == 1 {
			frame = append(frame, 0)
		}
		if err := e.header(w, dicom.Item, "", uint32(len(frame))); err != nil {
			return err
		}
		if _, err := w.Write(frame); err != nil {
			return err
		}
	}
	return e.header(w, dicom.SequenceDelimitationItem, "", 0)
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
