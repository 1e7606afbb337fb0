package pixeldata

import (
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"endogate/cmd/endogate/installed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What DCMTK makes of a file in another syntax decodes to the same picture.
func TestFrames_transcodedByDCMTK(t *testing.T) {
	installed.Require(t, "dcmcjpeg", "dcmcjpls", "dcmcrle", "dcmconv")
	for _, file := range []string{"ExplVR_BigEnd.dcm", "MR_small.dcm", "SC_rgb_small_odd.dcm", "image_dfl.dcm"} {
		source := filepath.Join("testdata/pydicom", file)
		want, err := decodeFile(t, source)
		require.NoError(t, err)
		for _, command := range [][]string{
			{"dcmconv", "+ti"},
			{"dcmconv", "+te"},
			{"dcmconv", "+tb"},
			{"dcmconv", "+td"},
			{"dcmconv", "-e", "+te"},
			{"dcmcrle"},
			{"dcmcjpeg", "+el", "+sv", "6"},
			{"dcmcjpeg", "+el"},
			{"dcmcjpeg", "+e1", "+fo"},
			{"dcmcjpls", "+el"},
			{"dcmcjpls", "+el", "+il"},
			{"dcmcjpls", "+el", "+in"},
			{"dcmcjpls", "+el", "+fs", "1"},
		} {
			name := file
			for _, word := range command {
				name += " " + word
			}
			t.Run(name, func(t *testing.T) {
				out := filepath.Join(t.TempDir(), "out.dcm")
				args := append(append([]string{}, command[1:]...), source, out)
				text, err := exec.Command(command[0], args...).CombinedOutput()
				require.NoError(t, err, string(text))
				got, err := decodeFile(t, out)
				require.NoError(t, err)
				require.Len(t, got, len(want))
				for i := range want {
					assert.Equal(t, want[i].Rect, got[i].Rect)
					assert.Equal(t, want[i].Pix, got[i].Pix)
				}
			})
		}
	}
}

// A sigmoid window is drawn as DCMTK draws it.
func TestFrames_windowAsDCMTK(t *testing.T) {
	installed.Require(t, "dcmodify", "dcm2pnm")
	source, err := os.ReadFile("testdata/pydicom/MR_small.dcm")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "sigmoid.dcm")
	require.NoError(t, os.WriteFile(file, source, 0o600))
	run := func(command ...string) {
		text, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		require.NoError(t, err, string(text))
	}
	run("dcmodify", "-nb", "-i", "WindowCenter=900", "-i", "WindowWidth=700", "-i", "VOILUTFunction=SIGMOID", file)
	got, err := decodeFile(t, file)
	require.NoError(t, err)
	drawn := filepath.Join(t.TempDir(), "drawn.png")
	run("dcm2pnm", "+Wi", "1", "+Wfs", "+on", file, drawn)
	f, err := os.Open(drawn)
	require.NoError(t, err)
	defer f.Close()
	want, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, want.Bounds(), got[0].Bounds())
	for y := range want.Bounds().Dy() {
		for x := range want.Bounds().Dx() {
			require.InDelta(t, color.GrayModel.Convert(want.At(x, y)).(color.Gray).Y, got[0].RGBAAt(x, y).R, 1, "%d %d", x, y)
		}
	}
}
