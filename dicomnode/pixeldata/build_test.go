package pixeldata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"strconv"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/require"
)

// instance builds data sets with pixel data for the tests; fields left zero are not written, but Rows and Columns.
type instance struct {
	syntax                        dicom.UID // Explicit VR Little Endian where empty
	rows, columns, samples        int
	photometric                   string
	planar                        string // "", "0" or "1"
	allocated, stored, high, sign int
	frames                        int
	extra                         []element // between the image module and the pixel data, ascending
	vr                            string    // of native pixel data, OW where empty
	pixels                        []byte
	fragments                     [][]byte // the offset table first; instead of pixels
}

type element struct {
	tag   dicom.Tag
	vr    string
	value []byte
}

func (i instance) transferSyntax() dicom.TransferSyntax {
	if i.syntax == "" {
		i.syntax = dicom.ExplicitVRLittleEndian
	}
	ts, ok := dicom.LookupTransferSyntax(i.syntax)
	if !ok {
		panic("unknown transfer syntax " + i.syntax)
	}
	return ts
}

func (i instance) order() binary.AppendByteOrder {
	if i.transferSyntax().BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (i instance) us(values ...int) []byte {
	var b []byte
	for _, v := range values {
		b = i.order().AppendUint16(b, uint16(v))
	}
	return b
}

func (i instance) elements() []element {
	var list []element
	number := func(tag dicom.Tag, v int) {
		if v != 0 {
			list = append(list, element{tag, "US", i.us(v)})
		}
	}
	number(dicom.SamplesPerPixel, i.samples)
	list = append(list, element{dicom.PhotometricInterpretation, "CS", []byte(i.photometric)})
	if i.planar != "" {
		n, _ := strconv.Atoi(i.planar)
		list = append(list, element{dicom.PlanarConfiguration, "US", i.us(n)})
	}
	if i.frames != 0 {
		list = append(list, element{dicom.NumberOfFrames, "IS", []byte(strconv.Itoa(i.frames))})
	}
	list = append(list, element{dicom.Rows, "US", i.us(i.rows)}, element{dicom.Columns, "US", i.us(i.columns)})
	number(dicom.BitsAllocated, i.allocated)
	number(dicom.BitsStored, i.stored)
	number(dicom.HighBit, i.high)
	number(dicom.PixelRepresentation, i.sign)
	return append(list, i.extra...)
}

// bytes returns the data set.
func (i instance) bytes() []byte {
	var b bytes.Buffer
	for _, e := range i.elements() {
		i.head(&b, e.tag, e.vr, uint32(len(e.value)+len(e.value)%2))
		b.Write(e.value)
		if len(e.value)%2 == 1 {
			b.WriteByte(' ')
		}
	}
	if i.fragments == nil {
		vr := i.vr
		if vr == "" {
			vr = "OW"
		}
		i.head(&b, dicom.PixelData, vr, uint32(len(i.pixels)))
		b.Write(i.pixels)
		return b.Bytes()
	}
	i.head(&b, dicom.PixelData, "OB", dicom.UndefinedLength)
	for _, f := range i.fragments {
		b.WriteString("\xfe\xff\x00\xe0")
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(f))))
		b.Write(f)
	}
	b.WriteString("\xfe\xff\xdd\xe0\x00\x00\x00\x00")
	return b.Bytes()
}

func (i instance) head(b *bytes.Buffer, tag dicom.Tag, vr string, length uint32) {
	b.Write(i.us(int(tag.Group()), int(tag.Element())))
	switch {
	case !i.transferSyntax().ExplicitVR:
		b.Write(i.order().AppendUint32(nil, length))
	case vr == "OB" || vr == "OW" || vr == "OV" || vr == "SQ":
		b.WriteString(vr + "\x00\x00")
		b.Write(i.order().AppendUint32(nil, length))
	default:
		b.WriteString(vr)
		b.Write(i.us(int(length)))
	}
}

// decode returns the frames and the error that ended them.
func (i instance) decode(t testing.TB, o Options) ([]*image.RGBA, error) {
	return decodeAll(t, bytes.NewReader(i.bytes()), i.transferSyntax(), o)
}

func decodeAll(t testing.TB, r io.Reader, ts dicom.TransferSyntax, o Options) ([]*image.RGBA, error) {
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	images, err := framesOf(t, data, ts, o)
	requireExtracted(t, data, ts, o, images, err)
	return images, err
}

func framesOf(t testing.TB, data []byte, ts dicom.TransferSyntax, o Options) ([]*image.RGBA, error) {
	var images []*image.RGBA
	for frame, err := range Frames(t.Context(), bytes.NewReader(data), ts, o) {
		if err != nil {
			require.Nil(t, frame.Image)
			return images, err
		}
		images = append(images, frame.Image)
		require.Equal(t, len(images), frame.Number)
	}
	return images, nil
}

// requireExtracted holds that an extract decodes to the same frames as the instance, or fails as it does.
func requireExtracted(t testing.TB, data []byte, ts dicom.TransferSyntax, o Options, want []*image.RGBA, wantErr error) {
	t.Helper()
	i, err := Open(bytes.NewReader(data), ts, o)
	if err != nil {
		return
	}
	var b bytes.Buffer
	extract, err := i.Extract()
	if err == nil {
		ts = extract.TransferSyntax
		var n int64
		n, err = extract.WriteTo(&b)
		require.EqualValues(t, b.Len(), n)
	}
	if errors.Is(err, ErrWords) {
		return
	}
	images := []*image.RGBA(nil)
	if err == nil {
		images, err = framesOf(t, b.Bytes(), ts, o)
		require.Len(t, images, len(want))
		for n := range want {
			require.Equal(t, want[n].Pix, images[n].Pix, "frame %d of the extract", n+1)
		}
	}
	for _, class := range []error{ErrUnsupported, ErrCorrupt} {
		require.Equal(t, errors.Is(wantErr, class), errors.Is(err, class), "%v and, of the extract, %v", wantErr, err)
	}
	require.Equal(t, wantErr == nil, err == nil, "%v and, of the extract, %v", wantErr, err)
}

// colors lists the pixels of img as r, g, b.
func colors(img *image.RGBA) []byte {
	var b []byte
	for i := 0; i < len(img.Pix); i += 4 {
		b = append(b, img.Pix[i:i+3]...)
	}
	return b
}
