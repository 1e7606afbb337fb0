package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"endogate/cmd/endogate/installed"
)

// PythonHL7 is a command that runs server.py or client.py of hl7/mllp/testdata/peers: python3-hl7 as receiver or sender.
func PythonHL7(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	installed.RequirePython(t, "hl7")
	return exec.Command(installed.Python, append([]string{hl7Script(t, script)}, args...)...)
}

// NodeHL7 is a command that runs server.js or client.js of the same folder: node-hl7-server and node-hl7-client.
func NodeHL7(t testing.TB, script string, args ...string) *exec.Cmd {
	t.Helper()
	modules := filepath.Join(Root(t), "bin/hl7/node_modules")
	installed.Require(t, "node", filepath.Join(modules, "node-hl7-server"), filepath.Join(modules, "node-hl7-client"))
	cmd := exec.Command("node", append([]string{hl7Script(t, script)}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return cmd
}

func hl7Script(t testing.TB, name string) string {
	return filepath.Join(Root(t), "hl7/mllp/testdata/peers", name)
}
