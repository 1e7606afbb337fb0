package draft

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ours is the text of a file that comes with the gateway.
func ours(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(embedded, "templates/"+name)
	require.NoError(t, err)
	return string(text)
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// A department changes a word, adds a template of its own and a language.
func TestLoad_department(t *testing.T) {
	swedish := strings.ReplaceAll(ours(t, "en.yaml"), "language: en", "language: sv")
	ercp := strings.NewReplacer("template: upper-gi", "template: ercp", "ESOPHAGUS, STOMACH, DUODENUM", "PANCREAS",
		"76009000", "386718000", "match:\n", "match:\n  routes: [ercp]\n").Replace(ours(t, "upper-gi.yaml"))
	dir := folder(t, map[string]string{
		"en.yaml":   strings.ReplaceAll(ours(t, "en.yaml"), "AI-detected, requires confirmation", "seen by AI, to be confirmed"),
		"ercp.yaml": ercp,
	})
	templates, err := Load(dir)
	require.NoError(t, err)
	in := sample()
	in.Exams[0].Route = "ercp"
	d, err := templates.New(in)
	require.NoError(t, err)
	assert.Equal(t, "ercp", d.Template)
	assert.Contains(t, Text(d), "seen by AI, to be confirmed")

	_, err = Load(folder(t, map[string]string{"sv.yaml": swedish}))
	require.ErrorContains(t, err, "template colonoscopy: section header: heading or text in language sv is missing")
}

// What is written out is read again as the same.
func TestExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "words")
	written, err := Export(dir)
	require.NoError(t, err)
	require.Len(t, written, 6)
	templates, err := Load(dir)
	require.NoError(t, err)
	assert.Equal(t, Default(), templates)
	assert.Equal(t, []string{"colonoscopy", "upper-gi"}, templates.Names())
	require.NoError(t, templates.Speaks("nb"))
	require.ErrorContains(t, templates.Speaks("fr"), "a file fr.yaml in the folder")
	_, err = Export(dir)
	require.ErrorIs(t, err, os.ErrExist)
}

func TestLoad_faults(t *testing.T) {
	_, err := Load(folder(t, map[string]string{
		"colonoscopy.yaml": strings.NewReplacer(
			"Surveillance: {todo}", "Surveillance: none", "Überwachung: {todo}", "Unauffällig {findings}",
			"    code: {code: 55109-3, scheme: LN, meaning: Complications}\n    fill: person", "    code: {code: 55109-3, scheme: LN, meaning: Complications}\n    fill: ai",
			"name: disclosure\n    fill: gateway", "name: disclosure\n    fill: person",
		).Replace(ours(t, "colonoscopy.yaml")),
		"nb.yaml":    strings.NewReplacer("  no-result:", "  noresult:", "{flagged}", "{flaged}").Replace(ours(t, "nb.yaml")),
		"other.yaml": "something: 1\n",
		"text.yaml":  "\ttab: 1\n",
	}))
	require.Error(t, err)
	for _, want := range []string{
		`colonoscopy.yaml:174: sections[10].text.en: "none" claims that something is absent or normal`,
		`"Unauffällig" claims that something`, `{findings} is no blank that is filled in here; known are {todo}`,
		"sections[7].fill: must be person: the gateway knows nothing", "sections[12].fill: must be gateway: no person may write over", "nb.yaml:4: phrases.no-result: missing", "phrases.noresult: unknown key",
		"{flaged} is no blank", "other.yaml:1: is neither a template", "text.yaml: not readable as YAML",
	} {
		assert.ErrorContains(t, err, want)
	}
	_, err = Load(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "draft: templates:")
	_, err = Load(folder(t, map[string]string{"colonoscopy.yaml": strings.Replace(ours(t, "colonoscopy.yaml"), "sections:", "match: {routes: [x]}\nsections:", 1)}))
	require.ErrorContains(t, err, "0 templates have no match; one is needed")
}

// Whatever a file holds, reading it ends with templates or an error.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"colonoscopy.yaml", "en.yaml", "terms.yaml"} {
		text, err := fs.ReadFile(embedded, "templates/"+name)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "colonoscopy.yaml"), text, 0o600))
		templates, err := Load(dir)
		if err != nil {
			return
		}
		_, err = templates.New(sample())
		require.NoError(t, err)
	})
}
