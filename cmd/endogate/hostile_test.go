package main

import (
	"bytes"
	"encoding/binary"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// hostileNames would be paths, options, commands or devices, where a name that came over the wire became one.
var hostileNames = []string{
	"..", ".", "", "../../outside", "/etc/cron.d/x", "1.2/../../outside", `..\..\outside`, "1.2\x00.dcm", "1.2;touch outside", "$(touch outside)",
	"`touch outside`", "|touch outside", "-rf", "--", "~/x", "1.2\n1.3", "CON", "%2e%2e%2foutside", ".hidden", "1.2/", strings.Repeat("1", 300),
}

// Nothing that a peer calls itself or its objects becomes a path outside of the folder, or a file that is none of ours (CVE-2022-2119,
// CVE-2022-2120, CVE-2026-50003, CVE-2026-52868, CVE-2026-32711).
func TestArchive_hostileNames(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "archive")
	require.NoError(t, os.Mkdir(dir, 0o700))
	a := &archive{dir: dir}
	content, header := dicomtest.Endoscopic(dicomtest.Options{})
	uid := func(tag, value string) []byte { // in Explicit VR Little Endian; what writes data sets here writes no other UIDs
		value += strings.Repeat("\x00", len(value)%2)
		return append(binary.LittleEndian.AppendUint16([]byte(tag+"UI"), uint16(len(value))), value...)
	}
	store := func(study, instance, calling string) error {
		named := bytes.Replace(content, uid("\x20\x00\x0d\x00", string(header.StudyInstanceUID)), uid("\x20\x00\x0d\x00", study), 1)
		named = bytes.Replace(named, uid("\x08\x00\x18\x00", string(header.SOPInstanceUID)), uid("\x08\x00\x18\x00", instance), 1)
		return a.Store(t.Context(), &dicomnode.StoreRequest{
			SOPClassUID: dicom.VLEndoscopicImageStorage, SOPInstanceUID: dicom.UID(instance), TransferSyntax: dicom.ExplicitVRLittleEndian,
			CallingAE: dicom.AETitle(calling), Dataset: bytes.NewReader(named),
		})
	}
	require.NoError(t, store("1.2.3", "1.2.3.4", "SCOPE1"))
	require.FileExists(t, filepath.Join(dir, "1.2.3", "1.2.3.4.dcm"))
	require.Error(t, store("1.2.3/../../../outside", "1.2.3.4", "SCOPE1"))
	for _, name := range hostileNames {
		_ = store(name, "1.2.3.5", "SCOPE1")
		_ = store("1.2.3", name, "SCOPE1")
		_ = store("1.2.3", "1.2.3.6", name)
	}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		within, err := filepath.Rel(root, path)
		require.NoError(t, err)
		parts := strings.Split(within, string(filepath.Separator))
		switch len(parts) {
		case 1:
			assert.Contains(t, []string{".", "archive"}, within, "outside of the folder")
		case 2, 3:
			assert.True(t, dicom.UID(strings.TrimSuffix(parts[len(parts)-1], ".dcm")).Fileable(), within)
		default:
			assert.Fail(t, "too deep", within)
		}
		if d.Type().IsRegular() {
			info, err := d.Info()
			require.NoError(t, err)
			assert.EqualValues(t, 0o600, info.Mode().Perm(), within)
			head := make([]byte, 132)
			f, err := os.Open(path)
			require.NoError(t, err)
			defer f.Close()
			_, err = f.Read(head)
			require.NoError(t, err)
			assert.Equal(t, append(make([]byte, 128), "DICM"...), head, "the preamble is empty: a file is nothing else besides (CVE-2019-11687)")
		}
		return nil
	}))
}

// Programs are begun in these places alone: each hands over its arguments one by one, and none a shell's line (CVE-2026-5663).
func TestProcesses_noShell(t *testing.T) {
	may := map[string]string{
		"cmd/endogate/doctor.go":              "looks for ffmpeg",
		"cmd/endogate/demo.go":                "this binary itself",
		"dicomnode/pixeldata/ffmpeg.go":       "ffmpeg, with arguments from tables alone",
		"dicomnode/pixeldata/moving.go":       "whatever package video has",
		"dicomnode/dicomtest/video.go":        "ffmpeg, for tests",
		"dicomnode/pixeldata/video/child.go":  "ffmpeg, with arguments from tables, numbers and the source that who runs this has named",
		"dicomnode/pixeldata/video/encode.go": "ffmpeg, to ask which encoders it has",
		"cmd/bill/modules.go":                 "go, when the bill is made",
	}
	root := peers.Root(t)
	found := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		within, err := filepath.Rel(root, path)
		require.NoError(t, err)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".git") || within == "bin" || within == "cmd/endogate/peers" || within == "cmd/endogate/installed") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, imported := range file.Imports {
			if imported.Path.Value == `"os/exec"` {
				found[within] = true
				assert.NotEmpty(t, may[within], "%s begins a program: give it its arguments one by one, none of what came from elsewhere, and name it here", within)
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				for _, shell := range []string{`"sh"`, `"bash"`, `"/bin/sh"`, `"-c"`} {
					assert.NotContains(t, string(text), shell, within)
				}
			}
		}
		return nil
	}))
	for path := range may {
		assert.True(t, found[path], "%s begins no program any more", path)
	}
}

func TestDoctor_exposedFiles(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "audit.key")
	require.NoError(t, os.WriteFile(key, []byte("x"), 0o600))
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	config := filepath.Join(dir, "endogate.yaml")
	require.NoError(t, os.WriteFile(config, []byte("data_dir: "+data+"\naudit: {key_file: "+key+"}\n"), 0o600))
	_, out, _ := endogate("doctor", "--config", config)
	assert.Contains(t, out, "none can be read or changed by everybody")
	require.NoError(t, os.Chmod(key, 0o644))
	require.NoError(t, os.Chmod(data, 0o777))
	code, out, _ := endogate("doctor", "--config", config)
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, out, "audit.key_file: every user of this machine can read or change "+key)
	assert.Contains(t, out, "data_dir: every user of this machine can write to "+data)
	assert.NotEqual(t, configs.Default().DataDir, data)
}
