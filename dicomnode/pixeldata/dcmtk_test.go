package pixeldata

import (
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
