package dicom

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"endogate/cmd/endogate/installed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// DCMTK takes what WriteFileMeta writes for a DICOM file, in every encoding, and has nothing to say about it.
func TestWriteFileMeta_readByDCMTK(t *testing.T) {
	installed.Require(t, "dcmdump")
	everyEncoding(t, func(t *testing.T, uid UID, undefined bool) {
		file := filepath.Join(t.TempDir(), "instance.dcm")
		out, err := os.Create(file)
		require.NoError(t, err)
		require.NoError(t, WriteFileMeta(out, FileMeta{VLEndoscopicImageStorage, "1.2.3.4", uid, "SCOPE1"}))
		_, err = out.Write(sample(uid, undefined).dataset(t))
		require.NoError(t, err)
		require.NoError(t, out.Close())
		text, err := exec.Command("dcmdump", "-q", "-E", "+U8", file).CombinedOutput()
		require.NoError(t, err, string(text))
		assert.NotContains(t, string(text), "W: ")
		assert.NotContains(t, string(text), "E: ")
		for _, want := range []string{ImplementationVersionName, "SCOPE1", "Müller^Jörg", "KOLO"} {
			assert.Contains(t, string(text), want)
		}
	})
}
