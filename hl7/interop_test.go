package hl7_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/hl7"
)

// run runs a script of testdata/peers in Python or Node.
func run(t *testing.T, script string, stdin []byte, args ...string) []byte {
	t.Helper()
	args = append([]string{filepath.Join("testdata/peers", script)}, args...)
	var cmd *exec.Cmd
	if strings.HasSuffix(script, ".py") {
		installed.RequirePython(t, "hl7")
		cmd = exec.Command(installed.Python, args...)
	} else {
		dir := filepath.Join(peers.Root(t), "bin/hl7/node_modules")
		installed.Require(t, "node", filepath.Join(dir, "node-hl7-client"), filepath.Join(dir, "hl7-standard"))
		cmd = exec.Command("node", args...)
		cmd.Env = append(os.Environ(), "NODE_PATH="+dir)
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return out
}

// Readers that nobody here wrote find in what is built here what was set.
func TestNew_otherReaders(t *testing.T) {
	m, err := hl7.New(hl7.Recommended, "UNICODE UTF-8")
	require.NoError(t, err)
	set := map[string]string{
		"MSH-10": "m1", "PID-3.1": "P1", "PID-3.4.1": "HOSP", "PID-3.4.2": "1.2.3", "PID-3[2].1": "N2", "PID-3[2].4": "NAT",
		"PID-5.1": "Grønvold-Šimková", "PID-5.2": "Åse 山田", "OBX-5": `a|b^c&d~e\f`, "OBX[2]-5": `C:\temp|`, "OBX[2]-3.2": "x&y",
	}
	var paths []string
	for _, fixed := range [][2]string{{"MSH-3", "ENDOGATE"}, {"MSH-7", "20260102101500"}, {"MSH-9.1", "ORU"}, {"MSH-9.2", "R01"}, {"MSH-12", "2.5.1"}, {"OBX-1", "1"}} {
		require.NoError(t, m.Set(fixed[0], fixed[1]))
	}
	require.NoError(t, m.Set("OBX[2]-1", "2"))
	for path, text := range set {
		require.NoError(t, m.Set(path, text))
		paths = append(paths, path)
	}
	var python map[string]string
	require.NoError(t, json.Unmarshal(run(t, "read.py", m.Bytes(), paths...), &python))
	assert.Equal(t, set, python)
	var node struct{ Client, Standard map[string]string }
	require.NoError(t, json.Unmarshal(run(t, "read.js", m.Bytes(), paths...), &node))
	assert.Equal(t, set, node.Client)
	require.NotEmpty(t, node.Standard)
	for path, encoded := range node.Standard {
		assert.Equal(t, m.Raw(path), encoded, path)
	}
}

// What they write is read, and what was not changed goes back to them byte for byte.
func TestParse_otherWriters(t *testing.T) {
	const name = `Lund & Berg | ^ ~ \`
	for _, row := range []struct{ script, controlID, authority string }{{"write.py", "py1", "1.2.3"}, {"write.js", "js1", ""}} {
		t.Run(row.script, func(t *testing.T) {
			first, second, found := bytes.Cut(run(t, row.script, nil), []byte("\n--\n"))
			require.True(t, found)
			m := parse(t, string(first))
			assert.Equal(t, row.controlID, m.Get("MSH-10"))
			assert.Equal(t, "A08", m.Get("MSH-9.2"))
			assert.Equal(t, "P7", m.Get("PID-3"))
			assert.Equal(t, "HOSP", m.Get("PID-3.4"))
			assert.Equal(t, row.authority, m.Get("PID-3.4.2"))
			assert.Equal(t, name, m.Get("PID-5.1"))
			assert.Equal(t, "Åse", m.Get("PID-5.2"))
			assert.Equal(t, string(first), string(m.Bytes()))
			m = parse(t, string(second))
			if row.script == "write.py" { // its acknowledgement of the first
				verdict, reason := hl7.Judge("py1", m)
				assert.Equal(t, hl7.Never, verdict)
				assert.Equal(t, "AE", reason)
				return
			}
			assert.Equal(t, "std1", m.Get("MSH-10"))
			assert.Equal(t, "HOSP", m.Get("PID-3.4"))
			assert.Equal(t, name, m.Get("PID-5.1"))
			assert.Equal(t, "Åse", m.Get("PID-5.2"))
		})
	}
}
