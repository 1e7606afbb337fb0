package reading

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	someTerms   = []string{"polyps", "ulcers", "diverticula", "angiodysplasia", "esophagitis"}
	filler      = rapid.SampledFrom([]string{"definite", "visible", "obvious", "suspicious-looking", "in", "the", "colon", "sigmoid", "mucosa", "of", "left", "5", "mm", "entire"})
	denials     = rapid.SampledFrom([]string{"no", "without", "there were no", "no evidence of", "free of", "absence of"})
	terminators = rapid.SampledFrom([]string{"but", "however", "although", "except for", ";", "apart from"})
)

func statuses(text string) map[string]Status {
	out := map[string]Status{}
	for _, f := range Default().Read(text, "en").Findings {
		out[f.Finding] = f.Status
	}
	return out
}

// A term inside the scope of what denies is denied, whatever stands around it; a word that ends scopes ends this one.
func TestContext_scope(t *testing.T) {
	names := map[string]string{"polyps": "polyp", "ulcers": "ulcer", "diverticula": "diverticulosis", "angiodysplasia": "angiodysplasia", "esophagitis": "esophagitis"}
	rapid.Check(t, func(t *rapid.T) {
		term := rapid.SampledFrom(someTerms).Draw(t, "term")
		lead := strings.Join(rapid.SliceOfN(filler, 0, 6).Draw(t, "lead"), " ")
		between := strings.Join(rapid.SliceOfN(filler, 0, 4).Draw(t, "between"), " ")
		tail := strings.Join(rapid.SliceOfN(filler, 0, 6).Draw(t, "tail"), " ")
		denial := denials.Draw(t, "denial")
		denied := strings.Join([]string{lead, denial, between, term, tail}, " ") + "."
		require.Equal(t, Negated, statuses(denied)[names[term]], denied)
		ended := strings.Join([]string{lead, denial, between, terminators.Draw(t, "terminator"), term, tail}, " ") + "."
		require.NotEqual(t, Negated, statuses(ended)[names[term]], ended)
	})
}

// A list that is denied is denied to its end.
func TestContext_list(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.Permutation(someTerms).Draw(t, "list")
		last := len(list) - 1
		text := strings.Join(list[:last], ", ") + rapid.SampledFrom([]string{" or ", ", or ", " and "}).Draw(t, "and") + list[last]
		for _, whole := range []string{"No " + text + ".", "There were no " + text + " in the colon.", strings.ToUpper(text[:1]) + text[1:] + " were not seen.", "NO " + strings.ToUpper(text) + "."} {
			got := statuses(whole)
			require.Len(t, got, len(list), whole)
			for finding, s := range got {
				require.Equal(t, Negated, s, "%s: %s", whole, finding)
			}
		}
	})
}

func checkReport(t require.TestingT, text string) {
	r := Default().Read(text, "")
	for _, f := range r.Findings {
		require.NotEmpty(t, f.Mentions)
		for _, m := range f.Mentions {
			require.True(t, 0 <= m.Whole.Start && m.Whole.Start <= m.Span.Start && m.Span.Start < m.Span.End && m.Span.End <= len(text), "%q: %+v", text, m)
			require.GreaterOrEqual(t, rank(m.Status), rank(f.Status))
			require.GreaterOrEqual(t, rank(m.Status), 0)
			if m.Because != nil {
				require.True(t, m.Whole.Start <= m.Because.Start && m.Because.End <= m.Whole.End)
			}
		}
	}
}

// FuzzRead: any text is read without a panic, and spans lie in it.
func FuzzRead(f *testing.F) {
	for _, half := range []string{"develop", "heldout"} {
		for i, s := range samples(f, half) {
			if i%8 == 0 {
				f.Add(s.text)
			}
		}
	}
	f.Add("The colonoscope was advanced to the cecum without any difficulty\n~\n\"\nA polyp was removed.")
	f.Add("?polyp [ ] [x] no\r\n☐ BBPS 1-2 \\.br\\ 0-IIa polyp: ____ \xff\xfe Z.n. v.a. 3,5")
	f.Add("BBPS: (right colon/transverse/left): 2/2/3")
	f.Fuzz(func(t *testing.T, text string) { checkReport(t, text) })
}

// The time that a text takes grows with its length and no faster, whatever it repeats.
func TestRead_linear(t *testing.T) {
	for _, piece := range []string{
		"no polyp ", "polyp, ", "not ", "? ", "[ ] polyp ", "history of ", "BBPS 1 ", "a:\n", "x\n", "\n\n", "polyp\n- ", "INDICATION: polyp. ", "no polyps, ulcers, or ", "diverticulossissis ",
		"__ ", ". ", "i.", "polyp-", "-\n", "\\.br\\", "family history of no possible ", "[", "[x] yes ", "preparation good poor ", "(", "ß", "\u0308", "\xff", "history of polyps.\n\n",
	} {
		spent := func(n int) time.Duration {
			text := strings.Repeat(piece, n/len(piece))
			start := processor(t)
			Default().Read(text, "en")
			return processor(t) - start
		}
		small, large := spent(8<<10), spent(64<<10)
		require.Less(t, large, 5*8*small+300*time.Millisecond, "%q: %v for 8 KB, %v for 64 KB", piece, small, large)
	}
}

// processor is what this process has used: a loaded machine does not change it much.
func processor(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestLoad_faults: everything wrong with a file is named at once, with its line.
func TestLoad_faults(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "xx.yaml"), []byte(`language: xxxx
version: "1"
sections: [{section: nowhere, headings: [a]}]
sites: {colon: [colon]}
findings:
  - {finding: Polyp, terms: [polyp]}
  - {finding: ulcer, terms: ["(a|b"], sites: [moon]}
  - {finding: ulcer, terms: [u], colour: red}
context:
  - {effect: magic, phrases: [no]}
  - {effect: negation, window: 0, phrases: [one two three four five six seven eight nine ten eleven]}
`), 0o600))
	_, err := Load(dir)
	require.Error(t, err)
	for _, want := range []string{
		"xx.yaml:3: sections[0].section", "xx.yaml:6: findings[0].finding: must be lower case", "xx.yaml:7: findings[1].terms[0]", "xx.yaml:7: findings[1].sites[0]", "xx.yaml:8: findings[2].finding: \"ulcer\" is there twice",
		"xx.yaml:8: findings[2].colour: unknown key", "xx.yaml:10: context[0].effect", "xx.yaml:11: context[1].window", "has more than 10 words", "xx.yaml:1: language",
	} {
		require.Contains(t, err.Error(), want)
	}
	_, err = Load(filepath.Join(dir, "none"))
	require.ErrorContains(t, err, "endogate ontology DIR")
}

// TestLoad_own: what a department writes takes the place of a language.
func TestLoad_own(t *testing.T) {
	dir := t.TempDir()
	written, err := Export(dir)
	require.NoError(t, err)
	require.Len(t, written, 2)
	_, err = Export(dir)
	require.Error(t, err, "nothing is overwritten")
	en, err := os.ReadFile(filepath.Join(dir, "en.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "en.yaml"), []byte(strings.Replace(string(en), "terms: [polyp, ", "terms: [polyp, knobble, ", 1)), 0o600))
	o, err := Load(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"en", "de"}, o.Languages())
	require.Equal(t, Negated, o.Read("No knobbles were seen.", "en").Findings[0].Status)
}

func TestRead_language(t *testing.T) {
	for text, want := range map[string]string{
		"Keine Polypen. Die Schleimhaut ist unauffällig.": "de", "No polyps were seen in the colon.": "en", "": "en", "Polyp": "en", "ohne Befund": "de", "Ausschluss Colitis ulcerosa": "de", "Blutung steht": "de", "Z-line irregular": "en",
	} {
		require.Equal(t, want, Default().Read(text, "").Language, text)
	}
	require.Equal(t, "de/negation/keine", Default().Read("Keine Polypen.", "de").Findings[0].Rule)
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	for _, s := range samples(b, "develop") {
		if s.language == "en" && text.Len() < 2000 {
			text.WriteString(s.text + "\n")
		}
	}
	Default()
	b.ResetTimer()
	for b.Loop() {
		Default().Read(text.String(), "en")
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
}
