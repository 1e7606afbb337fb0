package pdf

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/reports/draft"
)

// run reads a document with a program of poppler's, which nobody here wrote.
func run(t testing.TB, b []byte, program string, args ...string) string {
	t.Helper()
	installed.Require(t, program)
	file := filepath.Join(t.TempDir(), "report.pdf")
	require.NoError(t, os.WriteFile(file, b, 0o600))
	cmd := exec.Command(program, append(append([]string{}, args...), file)...)
	if program != "pdfinfo" && program != "pdffonts" {
		cmd.Args = append(cmd.Args, "-")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	assert.Empty(t, stderr.String(), "%s has something to say", program)
	return string(out)
}

var rendered sync.Map // by document: a crowded one takes long

func render(t testing.TB, doc draft.Document) []byte {
	t.Helper()
	key, err := json.Marshal(doc)
	require.NoError(t, err)
	if b, ok := rendered.Load(string(key)); ok {
		return b.([]byte)
	}
	b, err := Render(doc, options(t))
	require.NoError(t, err)
	rendered.Store(string(key), b)
	return b
}

// flat is text in which line breaks do not matter.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestRender_valid holds every document to ISO 32000 as another implementation reads it.
func TestRender_valid(t *testing.T) {
	model.ConfigPath = "disable" // it writes no files of its own
	for name, doc := range samples(t) {
		t.Run(name, func(t *testing.T) {
			b := render(t, doc)
			require.NoError(t, api.Validate(bytes.NewReader(b), model.NewDefaultConfiguration()))
			for line := range strings.Lines(run(t, b, "pdffonts")) {
				if f := strings.Fields(line); len(f) > 6 && strings.Contains(line, "TrueType") {
					assert.Contains(t, line, "yes", "every font is embedded: %s", line)
				}
			}
			if name != "crowded" {
				pages, err := api.PageCount(bytes.NewReader(b), nil)
				require.NoError(t, err)
				assert.LessOrEqual(t, pages, 3)
				assert.Less(t, len(b), 1<<20)
			}
		})
	}
}

// TestRender_says: whoever searches the text finds it.
func TestRender_says(t *testing.T) {
	for name, c := range map[string]struct {
		doc      draft.Document
		want     []string
		unwanted []string
	}{
		"usual": {usual(), []string{
			"AI DRAFT – NOT VERIFIED", "Colonoscopy study", "Yamada, Hanako", "山田 花子", "やまだ はなこ", "030517 12345", "1953-05-17",
			"A20260002", "Positive faecal immunochemical test", "Ødegård, Åse", "2026-03-05 10:01–10:26 +01:00",
			"1. Polyp of colon", "accepted – Nilsen, Kari", "Paris: 0-Is", "Size: 6 mm", "2. Ulcerative colitis", "not yet decided",
			"much influence on the class", "Grad-CAM at the last layer", "hatched: masked", "[to be completed]", "Esophagitis (demo-colon 1.2.0, 0.55) – Nilsen, Kari", "Page 1 of 2", "Page 2 of 2",
			"cecum 0.60, polyp 0.50", "60 images received; 58 analysed (58 frames), 1 skipped, 1 failed, 0 retracted.", "Not signed.",
		}, []string{"4. Esophagitis"}},
		"verified":  {verified(), []string{"Signed by Nilsen, Kari, 2026-03-05 11:41 +01:00. Verified"}, []string{"NOT VERIFIED", "DRAFT"}},
		"withdrawn": {withdrawn(), []string{"WITHDRAWN", "kari (named by the client, not signed in)", "Replaces version 1.3", "Images of another patient"}, nil},
		"crowded":   {crowded(), []string{"Παπαδοπούλου-Αναγνωστοπούλου", "Щербатова-Преображенская", "歐陽上官司馬諸葛", "27. "}, nil},
		"German":    {made(t, "de"), []string{"KI-ENTWURF – NICHT GEPRÜFT", "Seite 1 von", "noch nicht entschieden", "Words of gradcam", "schraffiert: verdeckt"}, nil},
		"Norwegian": {made(t, "nb"), []string{"KI-UTKAST – IKKE KONTROLLERT", "Side 1 av", "Født"}, nil},
		"bare":      {bare(), []string{"(name not given)", "The order is not known.", "Not analysed: 0 frames were given to a model", "Page 1 of 1"}, []string{"flagged nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := flat(run(t, render(t, c.doc), "pdftotext", "-enc", "UTF-8"))
			for _, want := range c.want {
				assert.Contains(t, text, want)
			}
			for _, no := range c.unwanted {
				assert.NotContains(t, text, no)
			}
		})
	}
}

// TestRender_everyPage names patient, ID and standing on each page.
func TestRender_everyPage(t *testing.T) {
	for _, doc := range []draft.Document{usual(), crowded(), withdrawn()} {
		pages := strings.Split(strings.TrimSuffix(run(t, render(t, doc), "pdftotext", "-enc", "UTF-8"), "\f"), "\f")
		for i, page := range pages {
			page = flat(page)
			assert.Contains(t, page, fmt.Sprintf("Page %d of %d", i+1, len(pages)))
			assert.Contains(t, page, "ID "+doc.Patient.ID[:12])
			if doc.Standing == draft.Withdrawn {
				assert.Contains(t, page, "WITHDRAWN")
			} else {
				assert.Contains(t, page, "AI DRAFT – NOT VERIFIED")
			}
		}
	}
}

// TestRender_margins: no word leaves the margins, whatever the text is.
func TestRender_margins(t *testing.T) {
	for name, doc := range samples(t) {
		var html struct {
			Pages []struct {
				Words []struct {
					XMin float64 `xml:"xMin,attr"`
					XMax float64 `xml:"xMax,attr"`
					YMax float64 `xml:"yMax,attr"`
					Text string  `xml:",chardata"`
				} `xml:"word"`
			} `xml:"body>doc>page"`
		}
		out := run(t, render(t, doc), "pdftotext", "-bbox", "-enc", "UTF-8")
		require.NoError(t, xml.Unmarshal([]byte(out), &html))
		require.NotEmpty(t, html.Pages)
		mark := map[string]bool{}
		for _, language := range []string{"en", "de", "nb"} {
			for _, name := range []string{"watermark", "withdrawn-mark"} {
				for _, word := range strings.Fields(templates().Label(language, name)) {
					mark[word] = true // turned, and meant to be wide
				}
			}
		}
		for i, page := range html.Pages {
			for _, w := range page.Words {
				if mark[strings.TrimSpace(w.Text)] {
					continue
				}
				assert.GreaterOrEqual(t, w.XMin, left/point-1, "%s, page %d: %s", name, i+1, w.Text)
				assert.LessOrEqual(t, w.XMax, right/point+1, "%s, page %d: %s", name, i+1, w.Text)
				assert.LessOrEqual(t, w.YMax, 292/point, "%s, page %d: %s", name, i+1, w.Text)
			}
		}
	}
}

// TestRender_metadata is what lists of documents show.
func TestRender_metadata(t *testing.T) {
	b := render(t, usual())
	info := run(t, b, "pdfinfo")
	assert.Contains(t, info, "Colonoscopy study – Yamada, Hanako")
	assert.Contains(t, info, "Draft made by AI. Nobody has verified it.")
	assert.Regexp(t, `Pages: +2\n`, info)
	assert.Contains(t, string(b), "/Lang (en)")
	assert.Contains(t, string(b), "/URI (https://viewer.example/studies/2.25.1?x=%C3%BC)")
}

// TestRender_same: the same document gives the same bytes, also beside others being made.
func TestRender_same(t *testing.T) {
	o := options(t)
	want, err := Render(usual(), o)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got, err := Render(usual(), o)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(want, got))
		})
	}
	wg.Wait()
	other := usual()
	other.Version++
	got, err := Render(other, o)
	require.NoError(t, err)
	assert.False(t, bytes.Equal(want, got))
}

// TestRender_withoutPictures: what cannot be read any more is said to be missing, and nothing else is lost.
func TestRender_withoutPictures(t *testing.T) {
	o := options(t)
	o.Picture = func(k draft.KeyImage) (Picture, error) { return Picture{}, fmt.Errorf("frame: %w", ErrNoPicture) }
	o.Colours, o.Links = nil, nil
	b, err := Render(usual(), o)
	require.NoError(t, err)
	text := flat(run(t, b, "pdftotext"))
	assert.Contains(t, text, "The picture is not here any more.")
	assert.Contains(t, text, "Image 3: polyp of colon 0.92")
	o.Picture = nil
	_, err = Render(usual(), o)
	require.NoError(t, err)
}

// TestRender_hinderedPictures makes no document without a picture that is there and cannot be read now.
func TestRender_hinderedPictures(t *testing.T) {
	o := options(t)
	o.Picture = func(draft.KeyImage) (Picture, error) { return Picture{}, syscall.EMFILE }
	_, err := Render(usual(), o)
	require.ErrorIs(t, err, syscall.EMFILE)
}

// TestRender_manyPictures: the document is bounded, and says what it leaves out.
func TestRender_manyPictures(t *testing.T) {
	doc, o := usual(), options(t)
	for i := range 200 {
		k := doc.KeyImages[0]
		k.Frame.Number = i
		doc.KeyImages = append(doc.KeyImages, k)
	}
	picture, err := pictures(doc.KeyImages[0])
	require.NoError(t, err)
	shown := 0
	o.Picture = func(draft.KeyImage) (Picture, error) { shown++; return picture, nil }
	b, err := Render(doc, o)
	require.NoError(t, err)
	assert.Equal(t, maxPictures, shown)
	left := 0
	for _, m := range regexp.MustCompile(`(\d+) more key images are in the archive`).FindAllStringSubmatch(flat(run(t, b, "pdftotext")), -1) {
		n, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		left += n
	}
	assert.Equal(t, len(doc.KeyImages)-maxPictures, left)
}

func TestRender_tooLong(t *testing.T) {
	doc := usual()
	for range 400 {
		doc.Sections = append(doc.Sections, draft.Section{Head: "More", Text: strings.Repeat("word ", 4000), Code: dicom.Code{}})
	}
	_, err := Render(doc, options(t))
	assert.ErrorIs(t, err, ErrTooLong)
}

func TestOpenFonts_refuses(t *testing.T) {
	data, err := os.ReadFile(WideFont)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"collection": {[]byte("ttcf\x00\x01\x00\x00"), "collection"}, "PostScript outlines": {[]byte("OTTO\x00\x01"), "PostScript"},
		"something else": {[]byte("%PDF-1.4"), "not a TrueType font"}, "empty": {nil, "not a TrueType font"},
		"cut off": {data[:2000], "reports.font"}, "half": {data[:len(data)/2], "reports.font"},
	} {
		file := filepath.Join(t.TempDir(), "font.ttf")
		require.NoError(t, os.WriteFile(file, c.data, 0o600))
		_, err := OpenFonts(file)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), c.want, name)
		assert.Contains(t, err.Error(), "reports.font", name)
	}
	_, err = OpenFonts(filepath.Join(t.TempDir(), "none.ttf"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestRender_noWideFont: without a font for it, a name in Chinese is no row of boxes but an error that says what to do.
func TestRender_noWideFont(t *testing.T) {
	o := options(t)
	o.Fonts = &Fonts{latin: o.Fonts.latin, bold: o.Fonts.bold}
	_, err := Render(usual(), o)
	assert.ErrorIs(t, err, ErrNoWideFont)
	doc := usual()
	doc.Patient.Name = "Αλεξίου^Ελένη"
	_, err = Render(doc, o)
	assert.NoError(t, err)
}

func TestWrap(t *testing.T) {
	one := func(s string) float64 { return float64(len([]rune(s))) }
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"one two three", []string{"one two", "three"}},
		{"abcdefghijkl", []string{"abcdefgh", "ijkl"}},
		{"ab cdefghijklmno", []string{"ab", "cdefghij", "klmno"}},
		{"患者は大腸内視鏡検査", []string{"患者は大腸内視鏡", "検査"}},
		{"eight888 x", []string{"eight888", "x"}},
		{"a\n\nb", []string{"a", "", "b"}},
		{"well-known fact", []string{"well-", "known", "fact"}},
		{"       spaces", []string{"", "spaces"}},
	} {
		if got := wrap(c.in, 8, one); len(got)+len(c.want) > 0 {
			assert.Equal(t, c.want, got, c.in)
		}
	}
}

func TestPersonName(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "Doe": "Doe", "Doe^John": "Doe, John", "Doe^John^Q^Dr.^Jr.": "Doe, John Q Dr. Jr.", "^John": "John",
		"Yamada^Tarou=山田^太郎=やまだ^たろう": "Yamada, Tarou (山田 太郎, やまだ たろう)", "=山田^太郎": "山田 太郎", "^^^=^^": "",
	} {
		assert.Equal(t, want, personName(in), in)
	}
}

// FuzzRender: no text makes the library panic, and none is a document that another one cannot read.
func FuzzRender(f *testing.F) {
	model.ConfigPath = "disable"
	for _, s := range []string{"", "plain", "\U0001F600 emoji", "a\x00b\x1b[0m", "\xff\xfe", "e\u0301", "עברית", "ไทย", "\uFFFF\uFFFE", "(()\\)", "\r\n\t", "한국어", "\u202Eabc", strings.Repeat("w", 3000)} {
		f.Add(s)
	}
	o := options(f)
	o.Picture = nil
	f.Fuzz(func(t *testing.T, s string) {
		doc := usual()
		doc.Language, doc.Title.Meaning = s, s
		doc.Patient = draft.Patient{ID: s, Issuer: s, Name: s, BirthDate: s, Sex: s}
		doc.Order.Reason, doc.Order.Requester, doc.Author.Name = s, s, s
		doc.Sections[1].Head, doc.Sections[1].Text = s, s+"\n"+s
		doc.Findings[0].Code.Meaning, doc.Findings[0].Text, doc.Findings[0].Why = s, s, s
		doc.KeyImages[0].Caption, doc.KeyImages[0].Why = s, s
		doc.Disclosure.Models[0].Name, doc.Disclosure.Text = s, s
		doc.Notices = []string{s}
		doc.Standing, doc.Signature = draft.Signed, &draft.Signature{By: draft.Author{Name: s}, Reason: s}
		o := o
		o.Institution, o.Links = s, []Link{{s, s}}
		b, err := Render(doc, o)
		if errors.Is(err, ErrTooLong) {
			return
		}
		require.NoError(t, err)
		require.NoError(t, api.Validate(bytes.NewReader(b), model.NewDefaultConfiguration()))
	})
}

// TestSay: every word of a page is a phrase of the templates, in each language with the same blanks.
func TestSay(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	asked := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\.say\("([a-z-]+)"[,)]`).FindAllSubmatch(source, -1) {
			asked[string(m[1])] = true
		}
	}
	require.Greater(t, len(asked), 60)
	for _, d := range []draft.Decision{draft.Proposed, draft.Accepted, draft.Rejected, draft.Changed} {
		asked["decision-"+string(d)] = true
	}
	for name := range asked {
		for _, language := range templates().Languages() {
			assert.NotEmpty(t, templates().Label(language, name), "%s: label-%s", language, name)
		}
	}
}

// TestRender_letters: names in scripts of other directions can be found as they were written, and that letters are not set as they should be
// is said on the page.
func TestRender_letters(t *testing.T) {
	said := draft.Default().Label("en", "letters")
	require.NotEmpty(t, said)
	for name, row := range map[string]struct {
		finds string
		said  bool
	}{
		"Nováková^Jana":              {"Nováková, Jana", false},
		"Παπαδόπουλος^Γιώργος":       {"Παπαδόπουλος, Γιώργος", false},
		"Люксембург^Анна":            {"Люксембург, Анна", false},
		"Hong^Gildong=洪^吉洞":          {"洪 吉洞", false},
		"Hong^Gildong=洪^吉洞=홍^길동":     {"홍 길동", true}, // Droid Sans Fallback has no Hangul
		"Cohen^David=כהן^דוד":        {"Cohen, David", false},
		"Zoe\u0308^A\u030ake":        {"Zoë, Åke", false},
		"שמעון^דוד":                  {"שמעון", false},
		"قباني^نزار":                 {"030517 12345", true}, // no font here has the shapes
		"สมชาย^ใจดี":                 {"030517 12345", true},
		"शर्मा^राजेश":                {"030517 12345", true},
		"Yoshino=\U00020BB7野^太郎=よしの": {"Yoshino", true}, // above U+FFFF
	} {
		doc := usual()
		doc.Patient.Name = name
		text := flat(run(t, render(t, doc), "pdftotext", "-enc", "UTF-8"))
		assert.Contains(t, text, row.finds, name)
		assert.Equal(t, row.said, strings.Contains(text, said), name)
		assert.Contains(t, text, "030517 12345", name)
	}
}
