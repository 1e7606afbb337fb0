package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnit_namesWhatThereIs: deploy/unit.sh runs each test once, with the race detector or without, so what it names must be there: a
// selection of tests that are called otherwise by now would prove nothing.
func TestUnit_namesWhatThereIs(t *testing.T) {
	script, err := os.ReadFile("../../deploy/unit.sh")
	require.NoError(t, err)
	list := func(name string) []string {
		found := regexp.MustCompile(`(?s)\n` + name + `=\((.*?)\n\)`).FindSubmatch(script)
		require.NotNil(t, found, name)
		names := strings.Fields(string(found[1]))
		require.NotEmpty(t, names, name)
		return names
	}
	selected := list("selected")
	out, err := exec.Command("go", append([]string{"list"}, append(selected, list("computing")...)...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)

	var tests strings.Builder
	for _, pkg := range selected {
		files, err := filepath.Glob(filepath.Join("../..", strings.TrimPrefix(pkg, "endogate/"), "*_test.go"))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			tests.Write(text)
		}
	}
	for _, name := range list("raced") {
		require.Contains(t, tests.String(), "func "+name+"(t *testing.T)")
	}
}
