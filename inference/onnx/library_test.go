package onnx_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// Whoever has it built says where it sends what it counts: nothing of that may be begun, in a process of a user who has a home.
func TestOpen_tellsNobody(t *testing.T) {
	if os.Getenv("ENDOGATE_TEST_HOME") != "" {
		_, err := openDemo(t, 1).Run(t.Context(), []onnx.Tensor{{Shape: shape, Values: frame()}})
		require.NoError(t, err)
		return
	}
	home := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestOpen_tellsNobody$", "-test.v")
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH"} { // without what says that it runs for tests, which would turn it off as well
		child.Env = append(child.Env, name+"="+os.Getenv(name))
	}
	child.Env = append(child.Env, "HOME="+home, "ENDOGATE_TEST_HOME="+home, "ORT_DISABLE_TELEMETRY=0")
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestOpen_tellsNobody")
	var left []string
	require.NoError(t, filepath.WalkDir(home, func(path string, _ os.DirEntry, err error) error {
		left = append(left, path)
		return err
	}))
	require.Equal(t, []string{home}, left)
}
