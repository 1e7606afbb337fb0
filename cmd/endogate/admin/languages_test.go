package admin

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	cldr "golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// sayings are all files of the languages: key, language, text or plural forms.
func sayings(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	files, err := fs.Glob(languageFiles, "languages/*.json")
	require.NoError(t, err)
	for _, file := range files {
		content, err := languageFiles.ReadFile(file)
		require.NoError(t, err)
		var said map[string]map[string]any
		require.NoError(t, json.Unmarshal(content, &said), file)
		keys := regexp.MustCompile(`(?m)^  "([^"]+)":`).FindAllSubmatch(content, -1)
		require.Len(t, keys, len(said), "%s: a key is there twice", file)
		for key, by := range said {
			require.NotContains(t, all, key, "%s: another file has it", file)
			all[key] = by
		}
	}
	return all
}

// formsOf are the plural forms of whole numbers that a language has (CLDR).
func formsOf(tag language.Tag) []string {
	names := map[cldr.Form]string{cldr.Zero: "zero", cldr.One: "one", cldr.Two: "two", cldr.Few: "few", cldr.Many: "many", cldr.Other: "other"}
	found := map[string]bool{}
	for n := range 1000 {
		found[names[cldr.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestLanguages_whole: every key says something in every language, with the same values filled in, and all the plural forms.
func TestLanguages_whole(t *testing.T) {
	slot := regexp.MustCompile(`\{([^}]*)\}`)
	for key, by := range sayings(t) {
		var slots []string
		for _, tongue := range tongues {
			tag := tongue.Tag.String()
			texts := map[string]any{"": by[tag]}
			if forms, ok := by[tag].(map[string]any); ok {
				texts = forms
				assert.Equal(t, formsOf(tongue.Tag), slices.Sorted(maps.Keys(forms)), "%s: %s", tag, key)
			}
			for form, text := range texts {
				text, _ := text.(string)
				assert.NotEmpty(t, strings.TrimSpace(text), "%s: %s: %s", tag, key, form)
				var names []string
				for _, m := range slot.FindAllStringSubmatch(text, -1) {
					assert.Regexp(t, `^[a-z]+$`, m[1], "%s: %s", tag, key)
					names = append(names, m[1])
				}
				slices.Sort(names)
				names = slices.Compact(names)
				if slots == nil {
					slots = append([]string{}, names...)
				}
				assert.Equal(t, slots, append([]string{}, names...), "%s: %s: %s", tag, key, form)
			}
		}
		assert.Len(t, by, len(tongues), key)
	}
}

// told are the scripts, whose texts all come from the languages.
func told(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("static/*.js")
	require.NoError(t, err)
	scripts := map[string]string{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		scripts[filepath.Base(file)] = string(content)
	}
	return scripts
}

// TestLanguages_keys: every key that a page or script names is there, and every key is named.
func TestLanguages_keys(t *testing.T) {
	said := sayings(t)
	files, err := filepath.Glob("*/*.[jh][st]*")
	require.NoError(t, err)
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	key := regexp.MustCompile(`\b(?:t|parts)\(?\s?"([^"]+)"`)
	kind := regexp.MustCompile(`\bnamed\("([^"]+)"`)
	kinds, text := map[string]bool{}, ""
	for _, file := range append(files, sources...) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		text += string(content)
		if ext := filepath.Ext(file); ext != ".js" && ext != ".html" {
			continue
		}
		for _, m := range key.FindAllSubmatch(content, -1) {
			assert.Contains(t, said, string(m[1]), file)
		}
		for _, m := range kind.FindAllSubmatch(content, -1) {
			kinds[string(m[1])] = true
		}
	}
	for key := range said {
		assert.True(t, strings.Contains(text, `"`+key+`"`) || kinds[strings.Split(key, ".")[0]], "%s: nothing says it", key)
	}
}

// TestLanguages_steps: every step of a study's timeline has a name.
func TestLanguages_steps(t *testing.T) {
	types, err := os.ReadFile("../../../dicomnode/ledger/types.go")
	require.NoError(t, err)
	steps := regexp.MustCompile(`\tEvent\w+ +What = "([^"]+)"`).FindAllSubmatch(types, -1)
	require.NotEmpty(t, steps)
	said := sayings(t)
	for _, step := range steps {
		assert.Contains(t, said, "step."+string(step[1]))
	}
}

// TestLanguages_checks: every check of /readyz has a name.
func TestLanguages_checks(t *testing.T) {
	source, err := os.ReadFile("../gateway/gateway.go")
	require.NoError(t, err)
	checks := regexp.MustCompile(`\{Name: "([^"]+)"`).FindAllSubmatch(source, -1)
	require.NotEmpty(t, checks)
	said := sayings(t)
	for _, check := range checks {
		assert.NotNil(t, said["check."+string(check[1])], "%s", check[1])
	}
}

// TestLanguages_faults: what the gateway says was not done, and every kind of event of the audit trail, is said in every language.
func TestLanguages_faults(t *testing.T) {
	said := sayings(t)
	sources, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := 0
	for _, file := range append(sources, "../../../dicomnode/audit/message.go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?:\bWhat: |\bfaultOf\()"([^"]*[^" ])"|dcm\("110(?:10|11|12|13)\d", "([^"]+)"\)`).FindAllSubmatch(content, -1) {
			assert.Contains(t, said, "said."+string(m[1])+string(m[2]), file)
			found++
		}
	}
	require.Greater(t, found, 100)
}

// literal is a string in a script, with what stands before it.
type literal struct{ before, text string }

// literals are the strings of a script, of templates without what is filled in; comments and regular expressions are none.
func literals(script string) []literal {
	var found []literal
	var depths []int // of the braces in which a template goes on
	expression := regexp.MustCompile(`^/(\\.|\[(\\.|[^\]])*\]|[^/\\\[])+/`)
	depth, word := 0, regexp.MustCompile(`(^|[=(,:;!&|?{}\[]|=>|return)$`)
	i := 0
	scan := func(quote byte, from int) {
		start := i
		for i < len(script) && script[i] != quote && (quote != '`' || !strings.HasPrefix(script[i:], "${")) {
			if script[i] == '\\' {
				i++
			}
			i++
		}
		found = append(found, literal{script[max(0, from-60):from], script[start:i]})
		if quote == '`' && i < len(script) && script[i] == '$' {
			depths = append(depths, depth)
			depth++
			i++
		}
		i++
	}
	for i < len(script) {
		switch c := script[i]; {
		case strings.HasPrefix(script[i:], "//"):
			for i < len(script) && script[i] != '\n' {
				i++
			}
		case c == '"' || c == '\'' || c == '`':
			i++
			scan(c, i-1)
		case c == '/' && word.MatchString(strings.TrimRight(script[max(0, i-20):i], " \n")):
			i += len(expression.FindString(script[i:]))
		case c == '{':
			depth++
			i++
		case c == '}':
			depth--
			i++
			if len(depths) > 0 && depths[len(depths)-1] == depth {
				depths = depths[:len(depths)-1]
				scan('`', i-1)
			}
		default:
			i++
		}
	}
	return found
}

// unseen is what stands before strings that nobody reads: attributes, selectors, keys, and what programs are told.
var unseen = regexp.MustCompile(`(\b(class|id|style|href|src|target|d|viewBox|transform|name|type|role|autocomplete|rel|mode|tag|method|cache|redirect|Accept|dateStyle|timeStyle|timeZone)"?: |(querySelector|querySelectorAll|getElementById|closest|createElement|createElementNS|from|import|slot|h|svg|t|parts|named|get|post|send|request|addEventListener|setAttribute|Error|includes)\(?\s?|\[|e\.(name|key) === )$`)

// alike are names and units that every language writes alike, and what programs read.
var alike = regexp.MustCompile(`^(http://www\.w3\.org/.*|[KMGT]iB|Grad-CAM(\+\+)?|HiResCAM|LayerCAM|Score-CAM|Guided Grad-CAM| · endogate |AbortError|X-[A-Za-z-]+|userSpaceOnUse|\(prefers-[a-z: -]+\)|\.(json|jpg|png)[?,].*|\.(json|jpg|png)|0-I[a-zI0+-]+|\[to be completed\]|copyMove|Prometheus)$`)

// TestLanguages_visible: what a page or script shows comes from the languages.
func TestLanguages_visible(t *testing.T) {
	action, tag := regexp.MustCompile(`(?s)\{\{.*?\}\}`), regexp.MustCompile(`(?s)<[^>]*>`)
	shows := regexp.MustCompile(`\b(aria-label|title|placeholder|alt)="([^"]+)"`)
	pages, err := filepath.Glob("pages/*.html")
	require.NoError(t, err)
	for _, file := range pages {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		page := action.ReplaceAllString(string(content), "")
		for _, word := range strings.FieldsFunc(tag.ReplaceAllString(page, " "), func(r rune) bool { return !unicode.IsLetter(r) }) {
			assert.Equal(t, "endogate", word, file)
		}
		assert.Empty(t, shows.FindAllString(page, -1), file)
	}

	classes := map[string]bool{}
	styles, err := filepath.Glob("static/*.css")
	require.NoError(t, err)
	for _, file := range styles {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\.([a-z][a-z-]*)`).FindAllSubmatch(content, -1) {
			classes[string(m[1])] = true
		}
	}
	sentence := regexp.MustCompile(`\p{Lu}\p{Ll}|\p{L}{2,}[ ,.:]+\p{L}|^[ ,.:;]+\p{L}{2,}|\p{L}{2,}[ ,.:;]+$`)
	for name, script := range told(t) {
		for _, l := range literals(script) {
			if !sentence.MatchString(l.text) || unseen.MatchString(l.before) || alike.MatchString(l.text) || strings.HasPrefix(l.text, "/") || strings.HasPrefix(l.text, "#") {
				continue
			}
			if words := strings.Fields(l.text); len(words) > 0 && !slices.ContainsFunc(words, func(w string) bool { return !classes[w] }) {
				continue
			}
			assert.Fail(t, "not of the languages", "%s: %q after %q", name, l.text, l.before)
		}
	}
	require.NotEmpty(t, told(t))
}

// The scanner of scripts sees what stands in a template's braces, and no comment or regular expression.
func TestLanguages_literals(t *testing.T) {
	var texts []string
	for _, l := range literals("a(`one ${b(\"two\", { c: `three` })} four`); // \"five\"\nd.replace(/[\"/]'/g, 'six\\'s') / 2") {
		texts = append(texts, l.text)
	}
	assert.Equal(t, []string{"one ", "two", "three", " four", `six\'s`}, texts)
}

// TestLanguages_chosen: what a browser asks for, and what a person has chosen on the page.
func TestLanguages_chosen(t *testing.T) {
	s := newServer(t, newHospital(t))
	for _, test := range []struct{ accept, cookie, want string }{
		{"", "", "en"},
		{"de-AT,de;q=0.9,en;q=0.8", "", "de"},
		{"nb-NO,nb;q=0.9,no;q=0.8,nn;q=0.7,en-US;q=0.6", "", "nb"},
		{"no", "", "nb"},
		{"fr-FR,fr;q=0.9", "", "en"},
		{"fr, de;q=0.2, en;q=0.1", "", "de"},
		{"de", "nb", "nb"},
		{"de", `<script>`, "de"},
		{strings.Repeat("x-", 500), "", "en"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = "127.0.0.1"
		r.Header.Set("Accept-Language", test.accept)
		if test.cookie != "" {
			r.AddCookie(&http.Cookie{Name: languageCookie, Value: test.cookie})
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		assert.Contains(t, w.Body.String(), `<html lang="`+test.want+`">`, "%q %q", test.accept, test.cookie)
	}
	for target, want := range map[string]string{"/?language=de": "de", "/?language=xx": ""} {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, http.StatusSeeOther, w.Code)
		assert.Equal(t, "/", w.Header().Get(echo.HeaderLocation))
		kept := ""
		for _, cookie := range w.Result().Cookies() {
			kept = cookie.Value
			assert.True(t, cookie.HttpOnly)
		}
		assert.Equal(t, want, kept, target)
	}
}

// TestPage_languages: the page speaks what the browser asks for, and another language when somebody chooses it, of the same view.
func TestPage_languages(t *testing.T) {
	b := open(t, newHospital(t))
	b.asks("de-DE,de")
	b.visit("/#/studies?accession=ACC-2026-004711", ".studies tbody tr")
	require.Equal(t, "de", eval[string](b, "document.documentElement.lang"))
	b.until(`document.querySelector("#strip").innerText.includes("Nimmt an")`)
	require.Contains(t, b.text(".studies tbody tr"), "04.11.2026 09:30")
	require.Contains(t, b.text(".studies tbody tr"), "9 Schritte offen")
	require.Contains(t, b.text("nav"), "Ziele")
	b.accessible("studies in German")
	b.picture("studies-de", false)

	b.visit("/#/studies/2.25.1001?frame=1-1", ".stage canvas.heat")
	for _, said := range []string{"Kolonpolyp (68496003, SCT) · Kolon (71854001, SCT)", "94,0 %", "Zweckbestimmung", "Befund"} {
		require.Contains(t, b.text(".panel"), said)
	}
	require.Contains(t, b.text(".stage figcaption"), "KI, nicht geprüft")
	b.picture("study-de", true)
	b.visit(framePage, ".lens canvas.heat")
	require.Equal(t, "Warum Polyp?", b.text("h1"))
	b.picture("frame-de", true)
	b.visit("/#/studies/2.25.9", ".notice.bad")
	require.Equal(t, "Die Studie wurde nicht gelesen study 2.25.9: nicht gefunden\nKennung prüfen; was lange abgeschlossen ist, kann entfernt sein", b.text(".notice.bad"))
	require.False(t, eval[bool](b, `document.querySelector(".viewer").checkVisibility()`), "there is nothing to see")
	b.visit("/#/frame/2.25.1001/2.25.9/1", ".notice.bad")
	require.False(t, eval[bool](b, `document.querySelector(".viewer").checkVisibility()`))
	require.Contains(t, b.text(".notice.bad .back"), "Studie")
	b.visit("/#/audit", "table")
	require.NotContains(t, b.text("table"), "Query")
	b.visit("/#/studies?accession=ACC-2026-004711", ".studies tbody tr")
	b.click(`.languages a[lang="nb"]`)
	b.until(`document.documentElement?.lang === "nb" && document.querySelector(".studies tbody tr")`)
	require.Equal(t, "#/studies?accession=ACC-2026-004711", eval[string](b, "location.hash"))
	require.Contains(t, b.text(".studies tbody tr"), "9 steg igjen")
	require.Contains(t, b.text(".studies tbody tr"), "4. nov. 2026")
	b.visit("/", ".studies tbody tr")
	require.Equal(t, "nb", eval[string](b, "document.documentElement.lang"), "it is kept")
}
