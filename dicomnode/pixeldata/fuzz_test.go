package pixeldata

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"endogate/dicomnode/dicom"
)

var fuzzSyntaxes = []dicom.UID{
	dicom.ExplicitVRLittleEndian, dicom.ImplicitVRLittleEndian, dicom.ExplicitVRBigEndian, dicom.DeflatedExplicitVRLittleEndian,
	dicom.RLELossless, dicom.JPEGBaseline8Bit, "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", htj2k, jxl,
}

// Whatever the data set: no panic, frames of the size that was said, errors of the two kinds. No child process is started.
func FuzzFrames(f *testing.F) {
	rgb := instance{rows: 2, columns: 2, samples: 3, photometric: "RGB", planar: "1", allocated: 8, stored: 8, high: 7, pixels: make([]byte, 12)}
	gray := instance{rows: 16, columns: 16, samples: 1, photometric: "MONOCHROME2", allocated: 8, frames: 2}
	rle, jpeg := gray, gray
	rle.syntax, rle.fragments = dicom.RLELossless, [][]byte{{}, encodeRLE(make([]byte, 256), 1, 1), encodeRLE(make([]byte, 256), 1, 1)}
	jpeg.syntax, jpeg.fragments = dicom.JPEGBaseline8Bit, [][]byte{table32(0, 8+len(shade(f, 1))), shade(f, 1), shade(f, 2)}
	f.Add(byte(0), rgb.bytes())
	f.Add(byte(4), rle.bytes())
	f.Add(byte(5), jpeg.bytes())
	f.Add(byte(9), codestream(f, "rgb.htj2k", htj2k, 3, 8).bytes())
	f.Add(byte(10), codestream(f, "gray16.jxl", jxl, 1, 16).bytes())
	for _, file := range []string{"SC_rgb_jpeg_gdcm.dcm", "JPEGLSNearLossless_16.dcm", "JPEG2000.dcm"} {
		in := instance{syntax: "1.2.840.10008.1.2.4.70", rows: 100, columns: 100, samples: 3, photometric: "RGB", allocated: 8}
		in.fragments = [][]byte{{}, frameOf(f, file)}
		f.Add(byte(6), in.bytes())
	}
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		ts, _ := dicom.LookupTransferSyntax(fuzzSyntaxes[int(which)%len(fuzzSyntaxes)])
		count := 0
		for frame, err := range Frames(context.Background(), bytes.NewReader(data), ts, Options{FFmpeg: "/nonexistent/ffmpeg"}) {
			if err != nil && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooMuch) {
				t.Errorf("untyped error %v", err)
			}
			if err == nil && (len(frame.Image.Pix) != 4*frame.Image.Rect.Dx()*frame.Image.Rect.Dy() || frame.Image.Rect.Empty()) {
				t.Errorf("picture %v with %d bytes", frame.Image.Rect, len(frame.Image.Pix))
			}
			if err == nil && !sameAlone(data, ts, frame) {
				t.Errorf("frame %d is another one alone", frame.Number)
			}
			if count++; count > 20 {
				break
			}
		}
		if i, err := Open(bytes.NewReader(data), ts, Options{}); err == nil {
			if e, err := i.Extract(); err == nil {
				_, _ = e.WriteTo(io.Discard) // ends with the data
			}
		}
	})
}

// sameAlone reports whether a frame is the same one without those before it.
func sameAlone(data []byte, ts dicom.TransferSyntax, want Frame) bool {
	i, err := OpenSeekable(bytes.NewReader(data), ts, Options{FFmpeg: "/nonexistent/ffmpeg"})
	if err != nil {
		return false
	}
	got, err := i.Frame(context.Background(), want.Number)
	return err == nil && got.Number == want.Number && bytes.Equal(got.Image.Pix, want.Image.Pix)
}

func FuzzDecodeRLE(f *testing.F) {
	f.Add(encodeRLE([]byte{1, 2, 3, 4, 5, 6}, 3, 1), 2, true, false)
	f.Add(encodeRLE([]byte{1, 2, 3, 4}, 2, 2), 2, false, true)
	f.Fuzz(func(t *testing.T, data []byte, n int, color, wide bool) {
		samples, size := 1, 1
		if color {
			samples = 3
		}
		if wide {
			size = 2
		}
		if n < 1 || n > 1<<16 {
			return
		}
		raw, err := decodeRLE(leisure, data, n, samples, size)
		if err != nil {
			return
		}
		again, err := decodeRLE(leisure, encodeRLE(raw, samples*size, size), n, samples, size)
		if err != nil || !bytes.Equal(raw, again) {
			t.Errorf("what decodes encodes to something else: %v", err)
		}
	})
}

// A rewritten JPEG header is read as the original was, and says what transform there is.
func FuzzMarkTransform(f *testing.F) {
	f.Add(frameOf(f, "SC_rgb_dcmtk_+eb+cr.dcm"), true)
	f.Add(frameOf(f, "SC_rgb_jpeg_gdcm.dcm"), false)
	f.Add(frameOf(f, "SC_rgb_jls_lossy_line.dcm"), false)
	f.Add(shade(f, 3), true)
	f.Fuzz(func(t *testing.T, data []byte, ycc bool) {
		if !bytes.HasPrefix(data, []byte("\xff\xd8")) {
			return
		}
		before, err := inspectJPEG(data)
		if err != nil || before.samples != 3 {
			return
		}
		out, err := markTransform(data, ycc)
		if err != nil {
			t.Fatal(err)
		}
		after, err := inspectJPEG(out)
		if err != nil || after.jpegIsYCC("RGB") != ycc || after.rows != before.rows || after.precision != before.precision {
			t.Errorf("%+v became %+v: %v", before, after, err)
		}
	})
}
