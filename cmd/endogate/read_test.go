package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// One line of JSON for each file, whatever it is written in; what cannot be read stops nothing.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	message := func(charset, text string) string {
		return "MSH|^~\\&|RIS|H|G|E|20260102||ORU^R01^ORU_R01|1|P|2.5.1||||||" + charset + "\rPID|1||P1^^^H\rOBR|1|PL|FI|1^Colonoscopy^L|||||||||||||||||||||F\r" +
			"OBX|1|FT|18785-6^Reason^LN||Rectal bleeding||||||F\rOBX|2|FT|59776-5^Findings^LN||" + text + "||||||F\rOBX|3|TX|9^Old^L||Polyp||||||W\rNTE|1||No ulcers.\r"
	}
	files := []string{
		file("a.txt", "No polyps were seen."),
		file("latin1.txt", "Keine H\xe4morrhoiden, keine Polypen."),
		file("utf16.txt", "\xff\xfeU\x00l\x00c\x00e\x00r\x00.\x00"),
		file("bom.txt", "\xef\xbb\xbfUlcer."),
		file("oru.hl7", message("8859/1", "No polyps.\\.br\\Crohn's disease.")),
		file("lf.hl7", strings.ReplaceAll(message("UNICODE UTF-8", "Barrett’s oesophagus"), "\r", "\n")),
		file("adt.hl7", "MSH|^~\\&|RIS|H|G|E|20260102||ADT^A08|1|P|2.5.1\rPID|1||P1^^^H\r"),
		file("none.hl7", "MSH|^~\\&|RIS|H|G|E|20260102||ORU^R01|1|P|2.5.1\rOBR|1|PL|FI\r"),
		file("picture.jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00"),
		filepath.Join(dir, "missing.txt"),
		file("empty.txt", ""),
	}
	want := []string{
		"polyp negated", "polyp negated, hemorrhoids negated", "ulcer positive", "ulcer positive", "polyp negated, crohn positive, ulcer negated, bleeding historical",
		"barrett positive, ulcer negated, bleeding historical", "", "", "", "", "",
	}
	code, out, complaints := endogate(append([]string{"read", "--json"}, files...)...)
	require.Equal(t, exitFailure, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, len(files))
	for i, line := range lines {
		var got struct {
			File, Error string
			Findings    []struct {
				Finding, Status, Sentence, Rule string
				Mentions                        []map[string]any
			}
		}
		require.NoError(t, json.Unmarshal([]byte(line), &got))
		require.Contains(t, line, `"findings":[`)
		var found []string
		for _, f := range got.Findings {
			found = append(found, f.Finding+" "+f.Status)
			require.NotEmpty(t, f.Sentence)
			require.NotEmpty(t, f.Rule)
			require.NotEmpty(t, f.Mentions)
		}
		require.Equal(t, files[i], got.File)
		require.Equal(t, want[i], strings.Join(found, ", "), files[i])
		require.Equal(t, i >= 6 && i < 10, got.Error != "", "%s: %s", files[i], got.Error)
	}
	require.Equal(t, 4, strings.Count(complaints, dir))
	require.NotContains(t, complaints, "P1", "no patient in a complaint")

	code, out, _ = endogate("read", files[0])
	require.Zero(t, code)
	require.Contains(t, out, "No polyps were seen.")
	require.Contains(t, out, "en/negation/no")
	code, _, complaints = endogate("read", "--language", "tlh", files[0])
	require.Equal(t, exitFailure, code)
	require.Contains(t, complaints, "there are en, de")
	code, _, _ = endogate("read", "--charset", "nonsense", files[0])
	require.Equal(t, exitUsage, code)

	own := filepath.Join(dir, "own")
	code, _, complaints = endogate("ontology", own)
	require.Zero(t, code, complaints)
	require.NoError(t, os.Remove(filepath.Join(own, "de.yaml")))
	require.NoError(t, os.WriteFile(filepath.Join(own, "en.yaml"), []byte("language: en\nnonsense: 1\n"), 0o600))
	code, _, complaints = endogate("read", "--ontology", own, files[0])
	require.Equal(t, exitFailure, code)
	require.Contains(t, complaints, "en.yaml:2: nonsense: unknown key")
}
