package pixeldata

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"runtime"
	"slices"
	"testing"

	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFrames_native(t *testing.T) {
	lut := func(i instance, tag dicom.Tag, vr string, value []byte) element { return element{tag, vr, value} }
	le := instance{}
	palette := func(bits int, data ...[]byte) []element {
		descriptor := le.us(2, 10, bits)
		return []element{
			lut(le, dicom.RedPaletteColorLookupTableDescriptor, "US", descriptor),
			lut(le, dicom.GreenPaletteColorLookupTableDescriptor, "US", descriptor),
			lut(le, dicom.BluePaletteColorLookupTableDescriptor, "US", descriptor),
			lut(le, dicom.RedPaletteColorLookupTableData, "OW", data[0]),
			lut(le, dicom.GreenPaletteColorLookupTableData, "OW", data[1]),
			lut(le, dicom.BluePaletteColorLookupTableData, "OW", data[2]),
		}
	}
	gray := func(v ...byte) []byte {
		var b []byte
		for _, g := range v {
			b = append(b, g, g, g)
		}
		return b
	}
	big := instance{syntax: dicom.ExplicitVRBigEndian}
	table := func(vr string, first, bits int, entries ...int) []element { // a VOI LUT Sequence of one item, in Explicit VR Little Endian
		item := slices.Concat([]byte("\x28\x00\x02\x30"+vr+"\x06\x00"), le.us(len(entries), first, bits), []byte("\x28\x00\x06\x30OW\x00\x00"), binary.LittleEndian.AppendUint32(nil, uint32(2*len(entries))), le.us(entries...))
		return []element{{dicom.VOILUTSequence, "SQ", slices.Concat([]byte("\xfe\xff\x00\xe0"), binary.LittleEndian.AppendUint32(nil, uint32(len(item))), item)}}
	}
	grey := func(bits int, extra []element, values ...byte) instance {
		return instance{rows: 1, columns: len(values), samples: 1, photometric: "MONOCHROME2", allocated: bits, extra: extra, pixels: append(values, make([]byte, len(values)%2)...)}
	}
	window := []element{
		{dicom.WindowCenter, "DS", []byte(`60\100`)},
		{dicom.WindowWidth, "DS", []byte(`41\10`)},
		{dicom.RescaleIntercept, "DS", []byte("-40")},
		{dicom.RescaleSlope, "DS", []byte("1")},
	}
	function := func(name, width string) []element {
		return []element{{dicom.WindowCenter, "DS", []byte("100 ")}, {dicom.WindowWidth, "DS", []byte(width)}, {dicom.VOILUTFunction, "CS", []byte(name)}}
	}
	for _, row := range []struct {
		name string
		in   instance
		want []byte
	}{
		{"RGB by pixel", instance{rows: 1, columns: 2, samples: 3, photometric: "RGB", planar: "0", allocated: 8, stored: 8, high: 7, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB by plane", instance{rows: 1, columns: 2, samples: 3, photometric: "RGB", planar: "1", allocated: 8, stored: 8, high: 7, pixels: []byte{1, 4, 2, 5, 3, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB, nothing optional said", instance{rows: 1, columns: 2, samples: 3, photometric: "RGB", pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB, samples not said", instance{rows: 1, columns: 2, photometric: "RGB", allocated: 8, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB of bytes with a wrong high bit", instance{rows: 1, columns: 2, samples: 3, photometric: "RGB", allocated: 8, stored: 8, high: 11, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB of bytes that have more bits", instance{rows: 1, columns: 2, samples: 3, photometric: "RGB", allocated: 8, stored: 16, high: 15, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB in implicit VR", instance{syntax: dicom.ImplicitVRLittleEndian, rows: 1, columns: 2, samples: 3, photometric: "RGB", allocated: 8, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB called JPEG", instance{syntax: dicom.JPEGBaseline8Bit, vr: "OB", rows: 1, columns: 2, samples: 3, photometric: "RGB", allocated: 8, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB of 16 bits", instance{rows: 1, columns: 1, samples: 3, photometric: "RGB", allocated: 16, stored: 16, high: 15, pixels: le.us(0, 0x8080, 0xFFFF)}, []byte{0, 128, 255}},
		{"RGB of 16 bits, big endian", instance{syntax: dicom.ExplicitVRBigEndian, rows: 1, columns: 1, samples: 3, photometric: "RGB", allocated: 16, stored: 16, high: 15, pixels: big.us(0, 0x8080, 0xFFFF)}, []byte{0, 128, 255}},
		{"RGB bytes in big endian bytes", instance{syntax: dicom.ExplicitVRBigEndian, vr: "OB", rows: 1, columns: 2, samples: 3, photometric: "RGB", allocated: 8, pixels: []byte{1, 2, 3, 4, 5, 6}}, []byte{1, 2, 3, 4, 5, 6}},
		{"RGB bytes in big endian words", instance{syntax: dicom.ExplicitVRBigEndian, rows: 1, columns: 2, samples: 3, photometric: "RGB", allocated: 8, pixels: []byte{2, 1, 4, 3, 6, 5}}, []byte{1, 2, 3, 4, 5, 6}},
		{"YBR_FULL", instance{rows: 1, columns: 2, samples: 3, photometric: "YBR_FULL", allocated: 8, pixels: []byte{76, 85, 255, 149, 43, 21}}, []byte{254, 0, 0, 0, 255, 0}},
		{"YBR_FULL by plane", instance{rows: 1, columns: 2, samples: 3, photometric: "YBR_FULL", planar: "1", allocated: 8, pixels: []byte{76, 149, 85, 43, 255, 21}}, []byte{254, 0, 0, 0, 255, 0}},
		{"YBR_FULL_422 that is YBR_FULL", instance{rows: 1, columns: 3, samples: 3, photometric: "YBR_FULL_422", allocated: 8, pixels: []byte{10, 128, 128, 20, 128, 128, 76, 85, 255, 0}}, []byte{10, 10, 10, 20, 20, 20, 254, 0, 0}},
		{"YBR_FULL_422", instance{rows: 2, columns: 2, samples: 3, photometric: "YBR_FULL_422", allocated: 8, pixels: []byte{10, 20, 128, 128, 76, 76, 85, 255}}, []byte{10, 10, 10, 20, 20, 20, 254, 0, 0, 254, 0, 0}},
		{"MONOCHROME2", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 8, pixels: []byte{0, 100, 255, 0}}, gray(0, 100, 255)},
		{"MONOCHROME1", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME1", allocated: 8, pixels: []byte{0, 100, 255, 0}}, gray(255, 155, 0)},
		{"12 bits of 16", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 16, stored: 12, high: 11, pixels: le.us(0, 0xF800, 0x0FFF)}, gray(0, 128, 255)}, // an overlay in the bits above
		{"12 bits at the top", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 16, stored: 12, high: 15, pixels: le.us(0x000F, 0x8000, 0xFFF0)}, gray(0, 128, 255)},
		{"signed", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 16, stored: 16, high: 15, sign: 1, pixels: le.us(0x8000, 0, 0x7FFF)}, gray(0, 128, 255)},
		{"signed, 12 bits", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 16, stored: 12, high: 11, sign: 1, pixels: le.us(0x800, 0, 0x7FF)}, gray(0, 128, 255)},
		{"window and rescale", instance{rows: 1, columns: 5, samples: 1, photometric: "MONOCHROME2", allocated: 16, stored: 16, high: 15, extra: window, pixels: le.us(0, 79, 99, 119, 999)}, gray(0, 0, 124, 252, 255)},
		{"window, LINEAR", instance{rows: 1, columns: 5, samples: 1, photometric: "MONOCHROME2", allocated: 8, extra: function("LINEAR", "100 "), pixels: []byte{50, 99, 100, 125, 150, 0}}, gray(0, 126, 129, 193, 255)},
		{"window, LINEAR_EXACT", instance{rows: 1, columns: 5, samples: 1, photometric: "MONOCHROME2", allocated: 8, extra: function("LINEAR_EXACT", "100 "), pixels: []byte{50, 99, 100, 125, 150, 0}}, gray(0, 125, 128, 191, 255)},
		{"window, LINEAR_EXACT, narrow", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 8, extra: function("LINEAR_EXACT", "0.5 "), pixels: []byte{99, 100, 101, 0}}, gray(0, 128, 255)},
		{"window, SIGMOID", instance{rows: 1, columns: 5, samples: 1, photometric: "MONOCHROME2", allocated: 8, extra: function("SIGMOID ", "100 "), pixels: []byte{0, 75, 100, 125, 200, 0}}, gray(5, 69, 128, 186, 250)},
		{"window, a function that is none", instance{rows: 1, columns: 3, samples: 1, photometric: "MONOCHROME2", allocated: 8, extra: function("CUBIC ", "1 "), pixels: []byte{99, 100, 101, 0}}, gray(0, 255, 255)},
		{"table", grey(8, table("US", 100, 8, 0, 85, 170, 255), 0, 100, 101, 102, 255), gray(0, 0, 85, 170, 255)},
		{"table of 12 bits", grey(8, table("US", 0, 12, 0, 2048, 4095), 0, 1, 2), gray(0, 128, 255)},
		{"table beside a window", grey(8, append(function("LINEAR_EXACT", "100 "), table("US", 0, 8, 255, 255)...), 50, 100, 150), gray(0, 128, 255)},
		{"table of what is below nought", grey(8, append([]element{{dicom.RescaleIntercept, "DS", []byte("-10 ")}, {dicom.RescaleSlope, "DS", []byte("1 ")}}, table("SS", 0x10000-10, 8, 10, 20, 30)...), 0, 1, 2, 200), gray(10, 20, 30, 30)},
		{"table that lacks entries", grey(8, table("US", 0, 8), 0, 100), gray(0, 100)},
		{"table of 32 bits", grey(8, table("US", 0, 32, 9, 9), 0, 100), gray(0, 100)},
		{"palette of 16 bits", instance{rows: 1, columns: 4, samples: 1, photometric: "PALETTE COLOR", allocated: 8, extra: palette(16, le.us(0x0100, 0x0400), le.us(0x0200, 0x0500), le.us(0x0300, 0x0600)), pixels: []byte{0, 10, 11, 255}}, []byte{1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}},
		{"palette of 8 bits that says 16", instance{rows: 1, columns: 2, samples: 1, photometric: "PALETTE COLOR", allocated: 8, extra: palette(16, le.us(1, 0), le.us(2, 255), le.us(3, 6)), pixels: []byte{10, 11}}, []byte{1, 2, 3, 0, 255, 6}},
		{"palette of 16 bits, two colours dark", instance{rows: 1, columns: 2, samples: 1, photometric: "PALETTE COLOR", allocated: 8, extra: palette(16, le.us(1, 0), le.us(0, 255), le.us(0, 0xFF00)), pixels: []byte{10, 11}}, []byte{0, 0, 0, 0, 0, 255}},
		{"palette of bytes", instance{rows: 1, columns: 2, samples: 1, photometric: "PALETTE COLOR", allocated: 8, extra: palette(8, []byte{1, 4}, []byte{2, 5}, []byte{3, 6}), pixels: []byte{10, 11}}, []byte{1, 2, 3, 4, 5, 6}},
		{"palette of bytes in words", instance{rows: 1, columns: 2, samples: 1, photometric: "PALETTE COLOR", allocated: 16, extra: palette(8, le.us(1, 4), le.us(2, 5), le.us(3, 6)), pixels: le.us(10, 11)}, []byte{1, 2, 3, 4, 5, 6}},
	} {
		t.Run(row.name, func(t *testing.T) {
			images, err := row.in.decode(t, Options{})
			require.NoError(t, err)
			require.Len(t, images, 1)
			assert.Equal(t, row.want, colors(images[0]))
		})
	}
}

// A frame that begins like a codestream by chance is none where frames are samples.
func TestFrames_samplesInFragments(t *testing.T) {
	frames := [][]byte{{0xFF, 0xD8, 0xFF, 3, 4, 5}, {6, 7, 8, 9, 10, 11}}
	deflated := func(b []byte) []byte {
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, flate.BestCompression)
		require.NoError(t, err)
		_, err = w.Write(b)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return out.Bytes()
	}
	even := func(b []byte) []byte { return append(b, make([]byte, len(b)%2)...) }
	in := instance{rows: 1, columns: 2, samples: 3, photometric: "RGB", planar: "1", allocated: 8, frames: 2}
	for syntax, pack := range map[dicom.UID]func([]byte) []byte{
		dicom.EncapsulatedUncompressed: bytes.Clone,
		dicom.DeflatedImageFrame:       deflated,
	} {
		in.syntax, in.fragments = syntax, [][]byte{{}, even(pack(frames[0])), even(pack(frames[1]))}
		images, err := in.decode(t, Options{})
		require.NoError(t, err, syntax)
		require.Len(t, images, 2)
		assert.Equal(t, []byte{0xFF, 0xFF, 4, 0xD8, 3, 5}, colors(images[0]), syntax)
		assert.Equal(t, []byte{6, 8, 10, 7, 9, 11}, colors(images[1]), syntax)

		in.fragments[2] = even(pack(frames[1][:4]))
		_, err = in.decode(t, Options{})
		require.ErrorIs(t, err, ErrCorrupt, "a frame that is too short")
		in.fragments[2] = []byte{0x07, 0, 0, 0} // a block type that deflate does not have
		_, err = in.decode(t, Options{})
		assert.ErrorIs(t, err, ErrCorrupt, "a frame that is no samples: which stays so")
	}
}

func TestFrames_refused(t *testing.T) {
	good := instance{rows: 2, columns: 2, samples: 3, photometric: "RGB", allocated: 8, pixels: make([]byte, 12)}
	for _, row := range []struct {
		name   string
		change func(*instance)
		want   error
		says   string
	}{
		{"no rows", func(i *instance) { i.rows = 0 }, ErrCorrupt, "0 rows"},
		{"more pixels than the bound", func(i *instance) { i.rows, i.columns = 65535, 65535 }, ErrTooMuch, "65535 x 65535"},
		{"length too short", func(i *instance) { i.rows = 3 }, ErrCorrupt, "12 bytes of Pixel Data for frames of 18"},
		{"second frame missing", func(i *instance) { i.frames = 2 }, ErrCorrupt, "frame 2 of 2"},
		{"32 bits", func(i *instance) { i.allocated = 32 }, ErrUnsupported, "32 bits"},
		{"high bit outside", func(i *instance) { i.allocated, i.stored, i.high = 16, 12, 19 }, ErrCorrupt, "high bit 19"},
		{"more stored than allocated", func(i *instance) { i.allocated, i.stored = 16, 17 }, ErrCorrupt, "17 stored"},
		{"samples and interpretation differ", func(i *instance) { i.samples = 1 }, ErrCorrupt, "1 samples per pixel in RGB"},
		{"no interpretation", func(i *instance) { i.photometric = "" }, ErrCorrupt, "Photometric"},
		{"unknown interpretation", func(i *instance) { i.photometric = "RGBX" }, ErrCorrupt, "Photometric"},
		{"retired interpretation", func(i *instance) { i.photometric = "HSV" }, ErrUnsupported, "HSV"},
		{"422 with odd columns", func(i *instance) { i.photometric, i.columns = "YBR_FULL_422", 1 }, ErrCorrupt, "1 columns"},
		{"palette missing", func(i *instance) { i.photometric, i.samples = "PALETTE COLOR", 1 }, ErrCorrupt, "palette"},
		{"fragments where none belong", func(i *instance) { i.fragments = [][]byte{{}, {1, 2}} }, ErrCorrupt, "fragments in Explicit"},
		{"video", func(i *instance) { i.syntax = "1.2.840.10008.1.2.4.102" }, ErrUnsupported, "video"},
	} {
		t.Run(row.name, func(t *testing.T) {
			in := good
			row.change(&in)
			_, err := in.decode(t, Options{})
			require.ErrorIs(t, err, row.want)
			assert.Contains(t, err.Error(), row.says)
		})
	}
	_, err := decodeAll(t, bytes.NewReader([]byte("\x10\x00\x20\x00LO\x02\x00ab")), good.transferSyntax(), Options{})
	require.ErrorIs(t, err, ErrUnsupported)
	assert.Contains(t, err.Error(), "no Pixel Data")
}

// Cut anywhere, an instance gives an error and not a picture.
func TestFrames_truncated(t *testing.T) {
	in := instance{rows: 2, columns: 2, samples: 3, photometric: "RGB", allocated: 8, pixels: make([]byte, 12)}
	whole := in.bytes()
	for n := range whole {
		images, err := decodeAll(t, bytes.NewReader(whole[:n]), in.transferSyntax(), Options{})
		assert.Error(t, err, "cut at %d", n)
		assert.Empty(t, images)
	}
}

// zeros is an endless source.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A multi-frame of 1.2 GB passes through one frame at a time.
func TestFrames_memoryIsOneFrame(t *testing.T) {
	in := instance{rows: 1000, columns: 1000, samples: 3, photometric: "RGB", allocated: 8, frames: 400}
	head := in.bytes()
	const size = 1000 * 1000 * 3 * 400
	copy(head[len(head)-4:], []byte{size & 0xFF, size >> 8 & 0xFF, size >> 16 & 0xFF, size >> 24})
	source := io.MultiReader(bytes.NewReader(head), zeros{})
	count := 0
	var peak uint64
	for frame, err := range Frames(t.Context(), source, in.transferSyntax(), Options{}) {
		require.NoError(t, err)
		count = frame.Number
		if count%10 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
		if count == 30 {
			break // also: a consumer may stop
		}
	}
	assert.Equal(t, 30, count)
	assert.Less(t, peak, uint64(32<<20))
}
