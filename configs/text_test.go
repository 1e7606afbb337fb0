package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What is no YAML, or more of it than is read, is named by its line in words; none are the parser's.
func TestParse_noYAML(t *testing.T) {
	for text, want := range map[string]string{
		"dicom:\n\tae_title: X\n":                   "line 2: a tab",
		"drain: 5s: 6s\n":                           "line 1: a second colon",
		"data_dir x\ndrain: 5s\n":                   "line 2: a second colon",
		"dicom\n":                                   "line 1: keys with values are expected",
		"- a\n- b\n":                                "line 1: keys with values are expected",
		"dicom:\n  listen: \"x\n":                   "line 2: a quote or bracket that is opened and not closed",
		"dicom: {ae_title: A\nhttp: {}\n":           "a comma or a closing bracket is missing",
		"dicom:\n   ae_title: A\n  listen: b\n":     "an indentation that fits nothing",
		"data_dir: a\ndrain: 5s\ndata_dir: b\n":     `line 3: "data_dir" stands there twice, first on line 1`,
		"dicom:\n  ae_title: A\n  ae_title: B\n":    `line 3: "ae_title" stands there twice, first on line 2`,
		"drain: 5s\ndata_dir: @data\n":              "line 2: a value that begins with @",
		"data_dir: `data`\n":                        "line 1: a value that begins with @, %, | or a backtick",
		"data_dir: \"C:\\data\"\n":                  "line 1: a backslash in double quotes",
		"drain: 5s\ndata_dir: a\x01\n":              "a control character",
		"a: &x [1]\nb: *x\n":                        "line 1: anchors and aliases",
		"dicom: {ae_title: *x}\n":                   "line 1: anchors and aliases",
		"dicom:\n  <<: *x\n":                        "line 2: anchors and aliases",
		"data_dir: a\n---\ndrain: 5s\n":             "line 2: --- ends the document",
		"---\ndata_dir: a\n--- # more\ndrain: 5s\n": "line 3: --- ends the document",
		"data_dir: a\n...\ndrain: 5s\n":             "line 2: ... ends the document",
		"drain: 5s\ndata_dir: M\xfcller\n":          "line 2: a character that is not UTF-8",
		"\xff\xfed\x00r\x00":                        "line 1: the file is UTF-16",
		"exam: {quite: 5s}\n":                       "line 1: unknown key exam.quite; did you mean exam.quiet?",
		"routes: [{name: a, modles: [b]}]\n":        "unknown key routes[0].modles; did you mean routes[0].models?",
		"dikom: {}\n":                               "unknown key dikom; did you mean dicom?",
		"colour: blue\n":                            "unknown key colour",
		"http: {listen: a, listen: b}\n":            `line 1: "listen" stands there twice`,
		"exam: {quiet: 8}\n":                        "line 1: exam.quiet: 8: a unit is missing",
		"spool: {reserve: 2}\n":                     "line 1: spool.reserve: 2: a unit is missing",
		"drain: [5s]\n":                             "line 1: drain",
		"dicom: ENDOGATE\n":                         "line 1: dicom",
		"http: {allow_remote: yes}\n":               "neither true nor false",
		"jobs: {workers: many}\n":                   "line 1: jobs.workers",
	} {
		_, err := parse([]byte(text), nil, Default())
		require.Error(t, err, text)
		assert.Contains(t, err.Error(), want, text)
		for _, theirs := range []string{"yaml:", "unmarshal", "token", "mapstructure", "koanf", "0x", "strconv"} {
			assert.NotContains(t, err.Error(), theirs, text)
		}
	}
}

// A file as editors of other systems save it is read like any other, and so is one without anything.
func TestParse_asSaved(t *testing.T) {
	for _, text := range []string{
		"\ufeffexam: {quiet: 5s}\r\nlog: {level: info}\r\n", "exam:\r  quiet: 5s\r", "---\nexam: {quiet: 5s}\n", "# a comment\n---\nexam: {quiet: 5s}",
	} {
		c, err := parse([]byte(text), nil, Default())
		require.NoError(t, err, "%q", text)
		assert.Equal(t, Duration(5e9), c.Exam.Quiet, "%q", text)
	}
	for _, text := range []string{"", "\n\n", "# nothing\n", "\ufeff", "{}\n", "null\n"} {
		c, err := parse([]byte(text), nil, Default())
		require.NoError(t, err, "%q", text)
		assert.Equal(t, Default(), c)
	}
	c, err := parse([]byte("dicom:\n  peers: [{ae_title: \"*\", hosts: [10.0.0.0/8]}]\ndata_dir: \"a & b\" # & *so* on\n"), nil, Default())
	require.NoError(t, err)
	assert.Equal(t, "a & b", c.DataDir, "in quotes they are letters")
}

func TestLoad_tooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "core")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("# x\n", maxFile/4+1)), 0o600))
	_, err := Load(path)
	require.ErrorContains(t, err, "larger than 4 MiB")
	_, err = Load(t.TempDir())
	require.Error(t, err)
}

// Whatever a file holds, it is read or refused in words, and in little time.
func FuzzParse_text(f *testing.F) {
	for _, seed := range []string{"a: &a [1]\nb: *a", "- - - -", "data_dir: x\n...\n", "\ufeff", "exam: {quiet: 5s}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		text = text[:min(len(text), 1<<16)]
		if _, err := parse(text, nil, Default()); err != nil && strings.Contains(err.Error(), "yaml: ") {
			t.Fatalf("the parser's words: %v", err)
		}
	})
}

// A key with one letter wrong is told the right one, wherever it stands.
func TestParse_didYouMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]string{"data_dir", "dicom", "exam", "delivery", "destinations", "routes", "reports", "ledger", "spool"}).Draw(t, "key")
		at := rapid.IntRange(0, len(key)-1).Draw(t, "at")
		wrong := key[:at] + "q" + key[at+1:]
		_, err := parse([]byte(wrong+": 1\n"), nil, Default())
		require.ErrorContains(t, err, "line 1: unknown key "+wrong+"; did you mean "+key+"?")
	})
}

// TestLocate: what others find is placed where it stands; what is no fault of a key stays as it is.
func TestLocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("drain: 5s\nroutes:\n  - name: a\n    models: [x]\n"), 0o600))
	require.EqualError(t, Locate(path, Fault("routes[0].models", "%q is none", "x")), "configs: "+path+`: line 4: routes[0].models: "x" is none`)
	require.Equal(t, os.ErrClosed, Locate(path, os.ErrClosed))
	require.NoError(t, Locate(path, nil))
	require.EqualError(t, Locate("", Fault("drain", "odd")), "drain: odd")
}
