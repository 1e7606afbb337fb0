package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What others have chosen is no command to a terminal, and a file gets it as it is.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"study 1.2\n\tname":            "study 1.2\n\tname",
		"\x1b]0;owned\x07\x1b[2J":      " ]0;owned  [2J",
		"good\rbad":                    "good bad",
		"a\u009b31mb\u0085\x7f\x00":    "a 31mb   ",
		"Weiß 山田\u202etxt.exe\u2066":   "Weiß 山田 txt.exe ",
		"cut \xe5\xb1":                 "cut \xe5\xb1",
		strings.Repeat("\x1b", 10_000): strings.Repeat(" ", 10_000),
	} {
		var b strings.Builder
		n, err := plain{&b}.Write([]byte(in))
		require.NoError(t, err)
		assert.Equal(t, len(in), n)
		assert.Equal(t, want, b.String())
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer f.Close()
	assert.Equal(t, f, onTerminal(f))
	terminal, err := os.OpenFile("/dev/null", os.O_WRONLY, 0) // a character device, as a terminal is
	require.NoError(t, err)
	defer terminal.Close()
	assert.IsType(t, plain{}, onTerminal(terminal))
}

// A time that is printed without its zone is that of the clock on the wall.
func TestTimes_local(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, call := range regexp.MustCompile(`(\S+)\.Format\((clockTime|time\.Date\w+|"2006[^"]*)`).FindAllStringSubmatch(string(source), -1) {
			assert.Regexp(t, `(\.Local\(\)|\.UTC\(\)|time\.Now\(\))$`, call[1], "%s: %s", file, call[0])
		}
	}
}
