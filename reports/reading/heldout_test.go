package reading

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/inference/figures"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is an annotated text of testdata/reading.
type sample struct {
	language, text string
	want           map[string]Status
}

func samples(t testing.TB, half string) []sample {
	b, err := os.ReadFile("../../testdata/reading/" + half + ".tsv")
	require.NoError(t, err)
	var out []sample
	for line := range strings.Lines(string(b)) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, columns, 3, line)
		require.Equal(t, half == "heldout", sha256.Sum256([]byte(columns[2]))[0]%2 == 1, "%s: of the other half", line)
		s := sample{columns[0], strings.ReplaceAll(columns[2], `\n`, "\n"), map[string]Status{}}
		for _, label := range strings.Fields(columns[1]) {
			finding, status, _ := strings.Cut(label, "=")
			s.want[finding] = Status(status)
			require.Contains(t, Default().Findings(), finding)
			require.Contains(t, precedence, Status(status))
		}
		out = append(out, s)
	}
	return out
}

// measure counts for each finding how often it was read with the status that it has.
func measure(t testing.TB, set []sample) map[string]*figures.Counts {
	counts := map[string]*figures.Counts{}
	for _, name := range Default().Findings() {
		counts[name] = &figures.Counts{}
	}
	for _, s := range set {
		got := map[string]Status{}
		for _, f := range Default().Read(s.text, s.language).Findings {
			got[f.Finding] = f.Status
		}
		for name, c := range counts {
			switch is, read := s.want[name], got[name]; {
			case is == read && is != "":
				c.TP++
			default:
				if is != "" {
					c.FN++
				}
				if read != "" {
					c.FP++
				}
			}
			if s.want[name] != got[name] {
				t.Logf("%q: %s is %q, read as %q", s.text, name, s.want[name], got[name])
			}
		}
	}
	return counts
}

const table = "../../docs/reading.md"

// TestHeldOut holds the rules against the half that they were not made with, and docs/reading.md against the figures.
func TestHeldOut(t *testing.T) {
	set := samples(t, "heldout")
	counts := measure(t, set)
	var b strings.Builder
	b.WriteString("| finding | texts that speak of it | precision | recall |\n|---|---|---|---|\n")
	for _, name := range Default().Findings() {
		c := counts[name]
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", name, c.TP+c.FN, c.Precision(), c.Sensitivity())
		require.GreaterOrEqual(t, c.Precision().Value, 0.95, name)
		require.GreaterOrEqual(t, c.Sensitivity().Value, 0.95, name)
	}
	for _, language := range Default().Languages() {
		all := figures.Counts{}
		for _, c := range measure(t, slices.DeleteFunc(slices.Clone(set), func(s sample) bool { return s.language != language })) {
			all.TP, all.FP, all.FN = all.TP+c.TP, all.FP+c.FP, all.FN+c.FN
		}
		fmt.Fprintf(&b, "| all, %s | %d | %s | %s |\n", language, all.TP+all.FN, all.Precision(), all.Sensitivity())
	}
	doc, err := os.ReadFile(table)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(doc), "<!-- figures -->\n")
	require.True(t, found)
	_, after, found := strings.Cut(rest, "<!-- end -->\n")
	require.True(t, found)
	want := before + "<!-- figures -->\n" + b.String() + "<!-- end -->\n" + after
	if *update {
		require.NoError(t, os.WriteFile(table, []byte(want), 0o600))
	}
	require.Equal(t, want, string(doc), "make generate, or go test ./reports/reading -run TestHeldOut -update")
}

// TestDevelop holds the rules against the half that they were made with, texts of the other language too.
func TestDevelop(t *testing.T) {
	wrong := 0
	for _, c := range measure(t, samples(t, "develop")) {
		wrong += c.FP + c.FN
	}
	require.LessOrEqual(t, wrong, 3)
}
