package deployment

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"debug/buildinfo"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"endogate/cmd/endogate/installed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// setUp runs deploy/setup.sh with a table of packages and programs in the place of real ones, and returns its folder and what it said.
func setUp(t *testing.T, table string, programs map[string]string) (dir, out string, err error) {
	t.Helper()
	installed.Require(t, "gcc", "npm", "openssl", "ffmpeg", "go", "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf") // or it would install them
	dir = t.TempDir()
	for _, name := range []string{"deploy/setup.sh", "go.mod"} {
		text, err := os.ReadFile(filepath.Join("../../..", name))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "deploy/npm.txt"), []byte(table), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "programs"), 0o755))
	for name, text := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "programs", name), []byte("#!/bin/sh\n"+text), 0o755))
	}
	cmd := exec.Command(filepath.Join(dir, "deploy/setup.sh"))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "programs")+":"+os.Getenv("PATH"), "TMPDIR="+t.TempDir())
	said, err := cmd.CombinedOutput()
	return dir, string(said), err
}

// archive is what npm pack makes of one file.
func archive(t *testing.T, path, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "package/" + path, Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

// What was fetched and is not what is expected is not used, and said.
func TestSetUp_checksums(t *testing.T) {
	packed := archive(t, "lib/a.so", "library")
	sum := sha512.Sum512(packed)
	right := base64.StdEncoding.EncodeToString(sum[:])
	for _, tt := range []struct {
		name, sum, path string
		fetched         []byte
		want            string // in the complaint; empty: it is installed
	}{
		{name: "right", sum: right, path: "lib/a.so", fetched: packed},
		{name: "a whole package", sum: right, path: ".", fetched: packed},
		{name: "changed", sum: right, path: "lib/a.so", fetched: archive(t, "lib/a.so", "LIBRARY"), want: "do not use it"},
		{name: "cut off", sum: right, path: "lib/a.so", fetched: packed[:len(packed)-1], want: "do not use it"},
		{name: "no checksum", sum: "-", path: "lib/a.so", fetched: packed, want: "do not use it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kept := filepath.Join(t.TempDir(), "kept.tgz")
			require.NoError(t, os.WriteFile(kept, tt.fetched, 0o600))
			table := fmt.Sprintf("# a comment\nbuild a 1.0.0 MIT %s %s bin/lib/a\ntest b 1.0.0 MIT %s . bin/b\n", tt.sum, tt.path, right)
			dir, out, err := setUp(t, table, map[string]string{"npm": "cp '" + kept + "' a-1.0.0.tgz\n"})
			assert.NoFileExists(t, filepath.Join(dir, "bin/b"), "that is for tests")
			if tt.want != "" {
				require.Error(t, err)
				assert.Contains(t, out, tt.want)
				assert.Contains(t, out, "a@1.0.0")
				assert.NoFileExists(t, filepath.Join(dir, "bin/lib/a"))
				return
			}
			require.NoError(t, err, out)
			file := filepath.Join(dir, "bin/lib/a")
			if tt.path == "." {
				file = filepath.Join(file, "lib/a.so")
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, "library", string(text))
		})
	}
}

// A Go that is not the one that is expected does not build anything.
func TestSetUp_checksumOfGo(t *testing.T) {
	dir, out, err := setUp(t, "", map[string]string{"go": `case "$1" in
env) echo go1.18 ;;
mod)
	folder=$GOMODCACHE/cache/download/golang.org/toolchain/@v
	mkdir -p "$folder"
	echo 'not Go' >"$folder/${3#*@}.zip"
	;;
esac
`})
	require.Error(t, err)
	assert.Contains(t, out, "has the SHA-256")
	assert.Contains(t, out, "nothing was installed")
	assert.NoDirExists(t, filepath.Join(dir, "bin/go"))
}

// There is no other way in than those with a checksum.
func TestSetUp_fetchesNothingElse(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/setup.sh")
	require.NoError(t, err)
	var code []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			code = append(code, line)
		}
	}
	assert.NotRegexp(t, `\b(curl|wget|pip3?|npx|git clone|npm (i|install|ci|exec)|go (get|install)|--allow-unauthenticated|allow-insecure|--force-yes)\b`, strings.Join(code, ""))
	golang := regexp.MustCompile(`go_sha256=[0-9a-f]{64} # of the archive of Go ([0-9.]+) `).FindSubmatch(text)
	require.NotNil(t, golang)
	module, err := os.ReadFile("../../../go.mod")
	require.NoError(t, err)
	assert.Contains(t, string(module), "\ngo "+string(golang[1])+"\n", "go_sha256 is of another Go than go.mod names")
}

// Whoever has the binary builds the same one: nothing of this machine is in it.
func TestBinary_hasNothingOfThisMachine(t *testing.T) {
	binary, err := filepath.Abs("../../../bin/endogate")
	require.NoError(t, err)
	installed.Require(t, binary)
	b, err := os.ReadFile(binary)
	require.NoError(t, err)
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE").Output()
	require.NoError(t, err)
	for _, place := range append(strings.Fields(string(out)), root+"/") {
		assert.False(t, bytes.Contains(b, []byte(place)), "%s stands in bin/endogate: make reproducible says whether two builds are the same", place)
	}
	for rest := b; ; {
		_, after, found := bytes.Cut(rest, []byte("/go-build"))
		if !found {
			break
		}
		assert.False(t, after[0] >= '0' && after[0] <= '9', "a temporary folder's name stands in bin/endogate: /go-build%.40q", after)
		rest = after
	}
	info, err := buildinfo.Read(bytes.NewReader(b))
	require.NoError(t, err)
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
		assert.False(t, strings.HasPrefix(s.Key, "vcs"), "%s=%s", s.Key, s.Value)
	}
	assert.Equal(t, "true", settings["-trimpath"])
}
