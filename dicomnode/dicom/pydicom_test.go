package dicom

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What pydicom reads from its own test files, of which many are odd, is what we read.
func TestReadAttributes_agreesWithPydicom(t *testing.T) {
	files, err := filepath.Glob("testdata/pydicom/*.dcm")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".dcm") + ".txt")
			require.NoError(t, err)
			a, err := readFile(t, file)
			if strings.Contains(file, "truncated") {
				assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
				// pydicom keeps half a value, we do not.
				want = want[:bytes.LastIndexByte(want[:len(want)-1], '\n')+1]
			} else {
				require.NoError(t, err)
			}
			var got strings.Builder
			dump(&got, a, 0)
			assert.Equal(t, string(want), got.String())
		})
	}
}

// readFile reads a Part 10 file; one that does not name its transfer syntax is Implicit VR Little Endian.
func readFile(t testing.TB, file string) (*Attributes, error) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	r := bufio.NewReader(bytes.NewReader(b))
	meta, err := ReadFileMeta(r)
	if err != nil {
		require.ErrorIs(t, err, ErrNoFileMeta)
	}
	ts, known := LookupTransferSyntax(meta.TransferSyntaxUID)
	if !known {
		ts, _ = LookupTransferSyntax(ImplicitVRLittleEndian)
	}
	return ReadAttributes(r, ts)
}

// dump writes a as testdata/pydicom/dump.py does.
func dump(out *strings.Builder, a *Attributes, depth int) {
	for tag := range a.Tags() {
		e, _ := a.Get(tag)
		line := strings.Repeat("  ", depth) + tag.String()
		info := vrOf(e.VR)
		switch {
		case e.VR == "SQ":
			fmt.Fprintf(out, "%s %d items\n", line, len(e.Items))
			for _, item := range e.Items {
				dump(out, item, depth+1)
			}
		case info.text || strings.Contains("US SS UL SL UV SV", e.VR):
			line = strings.TrimRight(line+" "+strings.Join(a.Texts(tag), "|"), " ")
			fmt.Fprintln(out, strings.NewReplacer("\n", "\\n", "\r", "\\r").Replace(line))
		default:
			fmt.Fprintln(out, line)
		}
	}
}
