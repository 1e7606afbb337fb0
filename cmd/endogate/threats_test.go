package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/peers"
)

var (
	aTest = regexp.MustCompile("`([a-z0-9/]+) ((?:Test|Fuzz)\\w+)`")
	aRisk = regexp.MustCompile(`\bR[0-9]+\b`)
)

// unheld says which lines of a threat model name no test that there is, and no risk that it accepts; there says whether a package has a
// test.
func unheld(document string, there func(pkg, test string) bool) (faults []string, lines int) {
	body, accepted, _ := strings.Cut(document, "\n## Risks that are accepted\n")
	reasons, used := map[string]bool{}, map[string]bool{}
	for _, risk := range regexp.MustCompile(`(?m)^- \*\*(R[0-9]+)\*\* (\S.{40,})$`).FindAllStringSubmatch(accepted, -1) {
		reasons[risk[1]] = true
	}
	held := -1 // the column of the tests in the table at hand
	for line := range strings.Lines(body) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			held = -1
		case strings.TrimSpace(cells[len(cells)-1]) == "held by":
			held = len(cells) - 1
		case held < 0 || strings.HasPrefix(line, "|--"):
		case len(cells) != held+1:
			faults = append(faults, "a bar too many or too few: "+line)
		default:
			lines++
			tests, risks := aTest.FindAllStringSubmatch(cells[held], -1), aRisk.FindAllString(cells[held], -1)
			if len(tests)+len(risks) == 0 {
				faults = append(faults, "neither a test nor a risk: "+line)
			}
			for _, test := range tests {
				if !there(test[1], test[2]) {
					faults = append(faults, "no such test: "+test[0])
				}
			}
			for _, risk := range risks {
				used[risk] = true
				if !reasons[risk] {
					faults = append(faults, "a risk without a reason: "+risk)
				}
			}
		}
	}
	for risk := range reasons {
		if !used[risk] {
			faults = append(faults, "a risk of nothing: "+risk)
		}
	}
	return faults, lines
}

func TestThreats_held(t *testing.T) {
	root := peers.Root(t)
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() && (d.Name() == ".git" || path == filepath.Join(root, "bin")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		pkg, err := filepath.Rel(root, filepath.Dir(path))
		require.NoError(t, err)
		for _, name := range declared.FindAllSubmatch(text, -1) {
			tests[pkg+" "+string(name[1])] = true
		}
		return nil
	}))
	document, err := os.ReadFile(filepath.Join(root, "docs/threat-model.md"))
	require.NoError(t, err)
	there := func(pkg, test string) bool { return tests[pkg+" "+test] }
	faults, lines := unheld(string(document), there)
	assert.Empty(t, faults)
	assert.Greater(t, lines, 80)

	for _, tt := range []struct{ spoilt, instead, want string }{
		{"`cmd/endogate/admin TestRights`", "`cmd/endogate/admin TestLefts`", "no such test"},
		{"`cmd/endogate/admin TestProvider_away` |", "- |", "neither a test nor a risk"},
		{"| R2 |", "| |", "neither a test nor a risk"},
		{"- **R2** On", "- On", "a risk without a reason"},
		{"| R3 |", "| R4 |", "a risk of nothing"},
		{"| S: a stranger sends as the RIS |", "| S | a stranger sends as the RIS |", "a bar too many or too few"},
	} {
		require.Contains(t, string(document), tt.spoilt)
		faults, _ := unheld(strings.Replace(string(document), tt.spoilt, tt.instead, 1), there)
		assert.Contains(t, strings.Join(faults, "\n"), tt.want)
	}
}
