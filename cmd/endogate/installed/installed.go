// Package installed ends a test that needs what is not on this machine: it is skipped, and with ENDOGATE_TEST_PEERS set,
// as make test sets it, it fails. Only tests import it, and no test skips by other means.
package installed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// required names the variable under which a test that cannot run fails: where everything was set up, that is a fault.
const required = "ENDOGATE_TEST_PEERS"

// Python is the interpreter that Debian's Python packages are for.
const Python = "/usr/bin/python3"

// Require ends the test unless every tool, a command or an absolute path, is there.
func Require(t testing.TB, tools ...string) {
	t.Helper()
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if _, err := os.Stat(tool); filepath.IsAbs(tool) && err == nil {
			continue
		}
		missing = append(missing, tool)
	}
	if len(missing) > 0 {
		Lacking(t, "not installed: %s; make setup-test brings it", strings.Join(missing, ", "))
	}
}

// RequirePython ends the test unless [Python] finds the modules.
func RequirePython(t testing.TB, modules ...string) {
	t.Helper()
	Require(t, Python)
	for _, module := range modules {
		if err := exec.Command(Python, "-c", "import "+module).Run(); err != nil {
			Lacking(t, "not installed: Python's %s; make setup-test brings it", module)
		}
	}
}

// Lacking ends a test that cannot run on this machine; the text says what it lacks and how to get it.
func Lacking(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(required) != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
