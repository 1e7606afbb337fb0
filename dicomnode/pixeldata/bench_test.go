package pixeldata

import (
	"bytes"
	"image"
	"math/rand/v2"
	"testing"

	"endogate/dicomnode/dicom"
)

// One frame of an endoscope's 1920 x 1080.
func BenchmarkFrames(b *testing.B) {
	const rows, columns = 1080, 1920
	raw := make([]byte, rows*columns*3)
	random := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, columns, rows))
	for i := range raw {
		raw[i] = byte(i/3%columns/8) + byte(random.IntN(4))
		img.Pix[i/3*4+i%3], img.Pix[i/3*4+3] = raw[i], 255
	}
	native := instance{rows: rows, columns: columns, samples: 3, photometric: "RGB", planar: "0", allocated: 8, stored: 8, high: 7}
	planar, jpeg, rle := native, native, native
	native.pixels = raw
	planar.planar, planar.pixels = "1", raw
	jpeg.syntax, jpeg.photometric, jpeg.fragments = dicom.JPEGBaseline8Bit, "YBR_FULL_422", [][]byte{{}, encodeJPEG(b, img)}
	rle.syntax, rle.fragments = dicom.RLELossless, [][]byte{{}, encodeRLE(raw, 3, 1)}
	for _, row := range []struct {
		name string
		in   instance
	}{{"RGB", native}, {"RGB by plane", planar}, {"JPEG", jpeg}, {"RLE", rle}} {
		data, ts := row.in.bytes(), row.in.transferSyntax()
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range Frames(b.Context(), bytes.NewReader(data), ts, Options{}) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
