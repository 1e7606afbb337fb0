package pixeldata

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func box(kind string, content ...string) string {
	body := ""
	for _, c := range content {
		body += c
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))) + kind + body
}

func TestWithoutWords(t *testing.T) {
	const (
		comment = "\xff\xfe\x00\x08Yamada"
		exif    = "\xff\xe1\x00\x08Yamada"
		table   = "\xff\xdb\x00\x04tt"
		frame   = "\xff\xc0\x00\x04ff"
		scan    = "\xff\xda\x00\x04ss\x01\xff\x00\x02\xff\xd0\x03"
		jpeg    = "\xff\xd8" + table + frame + scan + scan + "\xff\xd9"
		ls      = "\xff\xd8\xff\xf7\x00\x04ff\xff\xda\x00\x04ss\x01\xff\x7f\x02\xff\xd9"
		jfif    = "\xff\xe0\x00\x10JFIF\x00\x01\x02\x00\x00\x01\x00\x01"
		adobe   = "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"

		size  = "\xff\x51\x00\x04zz"
		note  = "\xff\x64\x00\x08Yamada"
		tile1 = "\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x12\x00\x01\xff\x93data"
		tile2 = "\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x1c\x00\x01" + note + "\xff\x93data"
		last  = "\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x01" + note + "\xff\x93data"
		j2k   = "\xff\x4f" + size + tile1 + "\xff\xd9"
	)
	signature, colour := "\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a", "\x01\x00\x00\x00\x00\x00\x10"
	for _, row := range []struct{ name, in, want string }{
		{"JPEG", jpeg, jpeg},
		{"JPEG-LS", ls, ls},
		{"before the tables", "\xff\xd8" + exif + comment + "\xff\xe0\x00\x08Yamada\xff\xee\x00\x08Yamada" + jpeg[2:], jpeg},
		{"JFIF with a thumbnail, Adobe with more", "\xff\xd8\xff\xe0\x00\x16" + jfif[4:] + "\x02\x01Yamada\xff\xee\x00\x14" + adobe[4:] + "Yamada" + jpeg[2:], "\xff\xd8" + jfif + "\x00\x00" + adobe + jpeg[2:]},
		{"between the scans", "\xff\xd8" + table + frame + scan + comment + exif + scan + "\xff\xd9", jpeg},
		{"before the end", jpeg[:len(jpeg)-2] + comment + "\xff\xd9", jpeg},
		{"behind the end", jpeg + "Yamada", jpeg},
		{"another picture behind it", jpeg + "\xff\xd8" + exif + jpeg[2:], jpeg},
		{"fill bytes", "\xff\xd8\xff\xff" + exif + "\xff\xff" + table + frame + scan + scan + "\xff\xff\xff\xd9Yamada", jpeg},
		{"a fill byte first", "\xff" + jpeg, ""},
		{"no end", jpeg[:len(jpeg)-2] + "Yamada", ""},
		{"bytes between segments", "\xff\xd8Yamada" + jpeg[2:], ""},
		{"an unknown segment", "\xff\xd8\xff\xf0\x00\x08Yamada" + jpeg[2:], ""},
		{"cut", "\xff\xd8\xff\xfe\x00\x40cut", ""},

		{"JPEG 2000", j2k, j2k},
		{"in the main header", "\xff\x4f" + size + note + tile1 + "\xff\xd9", j2k},
		{"lengths", "\xff\x4f" + size + "\xff\x55\x00\x04xx" + tile1 + "\xff\xd9", j2k},
		{"in a tile-part", "\xff\x4f" + size + tile2 + tile2 + "\xff\xd9", "\xff\x4f" + size + tile1 + tile1 + "\xff\xd9"},
		{"in the last, without a length", "\xff\x4f" + size + last + "\xff\xd9Yamada", "\xff\x4f" + size + last[:12] + "\xff\x93data\xff\xd9"},
		{"behind the end", j2k + "Yamada", j2k},
		{"no end", j2k[:len(j2k)-2] + "Yamada", ""},
		{"between the tile-parts", "\xff\x4f" + size + tile1 + "Yamada" + tile1 + "\xff\xd9", ""},
		{"a tile-part too long", "\xff\x4f" + size + tile2, ""},
		{"a tile-part too short", "\xff\x4f" + size + "\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x05\x00\x01\xff\x93data\xff\xd9", ""},
		{"JP2", signature + box("ftyp", "jp2 ") + box("xml ", "Yamada") + box("jp2h", box("ihdr", "hhhh"), box("colr", colour)) + box("uuid", "Yamada") + box("jp2c", j2k) + box("xml ", "Yamada"), j2k},
		{"JP2 to the end", signature + "\x00\x00\x00\x00jp2c" + j2k + "Yamada", j2k},
		{"JP2 with a palette", signature + box("jp2h", box("pclr", "pp")) + box("jp2c", j2k), ""},
		{"JP2 without a stream", signature + box("xml ", "Yamada"), ""},
		{"JP2 cut", signature + box("jp2c", j2k)[:12], ""},

		{"JPEG XL", "\xff\x0aYamada", ""},
		{"anything else", "Yamada", ""},
		{"nothing", "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := withoutWords([]byte(row.in), pixels{}, false)
			assert.Equal(t, row.want, string(got))
			if row.want == "" {
				require.ErrorIs(t, err, ErrWords)
				return
			}
			require.NoError(t, err)
			again, err := withoutWords(got, pixels{}, false)
			require.NoError(t, err)
			assert.Equal(t, row.want, string(again), "nothing more to leave out")
		})
	}
}

func TestWithoutWords_rle(t *testing.T) {
	px := pixels{rows: 2, columns: 5, samples: 1, allocated: 16, frames: 1}
	clean := encodeRLE([]byte("\x01\x00\x01\x00\x02\x00\x03\x00\x03\x00\x03\x00\x03\x00\x03\x00\x03\x00\x04\x00"), 2, 2)
	header := bytes.Clone(clean)
	copy(header[40:], "Yamada")
	second := binary.LittleEndian.Uint32(clean[8:])
	between := append(append(bytes.Clone(clean[:second]), "Yamada"...), clean[second:]...)
	binary.LittleEndian.PutUint32(between[8:], second+6)
	for name, in := range map[string][]byte{"clean": clean, "in the header": header, "between": between, "behind": append(bytes.Clone(clean), "Yamada"...)} {
		got, err := withoutWords(in, px, true)
		require.NoError(t, err, name)
		assert.Equal(t, clean, got, name)
	}
	for name, in := range map[string][]byte{"empty": nil, "cut": clean[:len(clean)-4], "another number of segments": encodeRLE(make([]byte, 10), 1, 1)} {
		_, err := withoutWords(in, px, true)
		require.ErrorIs(t, err, ErrWords, name)
	}
}

// A JP2 file decodes as the stream in it does.
func TestExtract_unboxed(t *testing.T) {
	installed.Require(t, "ffmpeg")
	in := instance{syntax: "1.2.840.10008.1.2.4.90", rows: 1024, columns: 256, samples: 1, photometric: "MONOCHROME2", allocated: 16, stored: 16, high: 15}
	stream := string(wholeFrameOf(t, "JPEG2000.dcm"))
	in.fragments = [][]byte{{}, even("\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a" + box("ftyp", "jp2 \x00\x00\x00\x00jp2 ") +
		box("jp2h", box("ihdr", "\x00\x00\x04\x00\x00\x00\x01\x00\x00\x01\x8f\x07\x00\x00"), box("colr", "\x01\x00\x00\x00\x00\x00\x11")) +
		box("uuid", "Yamada") + box("jp2c", stream))}
	data := in.bytes()
	ts, _ := dicom.LookupTransferSyntax(in.syntax)
	want, err := framesOf(t, data, ts, Options{})
	require.NoError(t, err)
	i, err := Open(bytes.NewReader(data), ts, Options{})
	require.NoError(t, err)
	e, err := i.Extract()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = e.WriteTo(&b)
	require.NoError(t, err)
	assert.NotContains(t, b.String(), "Yamada")
	got, err := framesOf(t, b.Bytes(), e.TransferSyntax, Options{})
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, want[0].Pix, got[0].Pix)
}

// wholeFrameOf is the first frame of a file, all its fragments.
func wholeFrameOf(t testing.TB, file string) []byte {
	b, err := os.ReadFile("testdata/pydicom/" + file)
	require.NoError(t, err)
	r := bufio.NewReader(bytes.NewReader(b))
	meta, err := dicom.ReadFileMeta(r)
	require.NoError(t, err)
	ts, _ := dicom.LookupTransferSyntax(meta.TransferSyntaxUID)
	i, err := Open(r, ts, Options{})
	require.NoError(t, err)
	px, err := i.describe()
	require.NoError(t, err)
	frames, err := newFragments(i.reader, i.Attributes, px, dicom.TransferSyntax{}, Survey{})
	require.NoError(t, err)
	frame, err := frames.next()
	require.NoError(t, err)
	return frame
}

func even(s string) []byte { return append([]byte(s), make([]byte, len(s)%2)...) }

// Whatever can be told apart: words that are put into a stream leave no trace, and what is left decodes as before.
func FuzzWithoutWords(f *testing.F) {
	for _, file := range []string{"SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_jls_lossy_line.dcm", "JPEG2000.dcm"} {
		f.Add(wholeFrameOf(f, file), "Yamada")
	}
	f.Add(codestream(f, "rgb.htj2k", htj2k, 3, 8).fragments[1], "Yamada")
	f.Add(shade(f, 3), "Dr. Who")
	f.Fuzz(func(t *testing.T, data []byte, words string) {
		bare, err := withoutWords(data, pixels{}, false)
		if err != nil || len(words) > 1000 {
			return
		}
		same := func(what string, spoken []byte) {
			got, err := withoutWords(spoken, pixels{}, false)
			if err != nil || !bytes.Equal(got, bare) {
				t.Errorf("%s: %v, %d bytes of %d", what, err, len(got), len(bare))
			}
		}
		same("again", bare)
		same("behind the end", append(bytes.Clone(bare), words...))
		if bare[1] != 0xD8 {
			_, _, size := segment(bare, 2)
			same("behind the size", bytes.Join([][]byte{bare[:size], said(0x64, words), bare[size:]}, nil))
			return
		}
		for _, marker := range []byte{0xFE, 0xE1, 0xED} {
			same("first", bytes.Join([][]byte{bare[:2], said(marker, words), bare[2:]}, nil))
			same("last", bytes.Join([][]byte{bare[:len(bare)-2], said(marker, words), bare[len(bare)-2:]}, nil))
		}
		if s, err := inspectJPEG(data); err == nil && s.rows*s.columns < 1<<16 {
			px := pixels{rows: s.rows, columns: s.columns, samples: s.samples, photometric: "YBR_FULL", allocated: 8, stored: 8, high: 7}
			if img, err := decodeJPEG(leisure, data, px, Bounds{}.withDefaults()); err == nil {
				if again, err := decodeJPEG(leisure, bare, px, Bounds{}.withDefaults()); err != nil || !bytes.Equal(img.Pix, again.Pix) {
					t.Errorf("decodes to another picture: %v", err)
				}
			}
		}
	})
}

func said(marker byte, words string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xFF, marker}, uint16(2+len(words))), words...)
}
