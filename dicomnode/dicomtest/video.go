package dicomtest

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"endogate/dicomnode/dicom"
)

// Levels is ffmpeg's source of so many frames a second of 64 x 48 pixels, each of another shade of grey: see Level.
func Levels(rate int) []string {
	return []string{"-f", "lavfi", "-i", "nullsrc=s=64x48:r=" + strconv.Itoa(rate) + ",geq=lum='20+3*mod(N,70)':cb=128:cr=128"}
}

// Level is the grey of frame n, from 1, of Levels as it is decoded: 16 to 235 are black to white.
func Level(n int) int { return (20 + 3*((n-1)%70) - 16) * 255 / 219 }

// Stream has ffmpeg make a video, of a file of the kind that ending names: what is to be encoded, and how.
func Stream(t testing.TB, ending string, arguments ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "video."+ending)
	all := append([]string{"-nostdin", "-v", "error", "-y"}, arguments...)
	if out, err := exec.Command("ffmpeg", append(all, "-pix_fmt", "yuv420p", file)...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Video builds the data set of a Video Endoscopic Image (PS3.3 A.32.5) that has a stream in so many fragments. Options.Frames is
// what it says of itself.
func Video(o Options, stream []byte, fragments int) ([]byte, dicom.Header) {
	size := (len(stream)/fragments + 1) &^ 1
	parts := dicom.Fragments{nil} // an empty offset table (PS3.5 A.4)
	for len(stream) > 0 {
		n := min(size, len(stream))
		if fragments--; fragments == 0 {
			n = len(stream)
		}
		parts, stream = append(parts, bytes.Clone(stream[:n])), stream[n:]
	}
	more := dicom.Dataset{
		dicom.SOPClassUID:               dicom.Text{string(dicom.VideoEndoscopicImageStorage)},
		dicom.PhotometricInterpretation: dicom.Text{"YBR_PARTIAL_420"},
		dicom.PixelData:                 parts,
		dicom.NumberOfFrames:            dicom.Ints{o.Frames},
	}
	maps.Copy(more, o.More)
	o.More, o.JPEG = more, make([][]byte, max(1, o.Frames))
	for i := range o.JPEG {
		o.JPEG[i] = []byte{0, 0}
	}
	return Endoscopic(o)
}
