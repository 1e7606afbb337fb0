package admin

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"

	"endogate/reports/draft"
)

// languageFiles hold what the page says: by key, in each language, a text or its plural forms (CLDR: one, other); {name} stands for
// a value. A file for each part of the page; no key is in two.
//
//go:embed languages/*.json
var languageFiles embed.FS

//go:embed pages/*.html
var pageFiles embed.FS

// tongue is a language of the page.
type tongue struct {
	Tag   language.Tag
	Name  string // in itself
	words map[string]json.RawMessage
	pages *template.Template
}

// tongues are the languages of the page; the first is spoken where a browser asks for none of them.
var tongues = speak(tongue{Tag: language.English, Name: "English"}, tongue{Tag: language.German, Name: "Deutsch"}, tongue{Tag: language.MustParse("nb"), Name: "Norsk bokmål"})

var matcher = language.NewMatcher([]language.Tag{tongues[0].Tag, tongues[1].Tag, tongues[2].Tag})

// speak reads what is said in each of the languages. The files are part of the program: one that cannot be read is a fault of it.
func speak(all ...tongue) []tongue {
	for i := range all {
		t := &all[i]
		t.words = map[string]json.RawMessage{}
		for code, text := range draft.Default().Terms(t.Tag.String()) {
			said, _ := json.Marshal(text) // of a string
			t.words["term."+code.Scheme+" "+code.Value] = said
		}
		t.pages = template.Must(template.New("").Funcs(template.FuncMap{"t": t.text}).ParseFS(pageFiles, "pages/*.html"))
	}
	files, err := fs.Glob(languageFiles, "languages/*.json")
	for _, name := range files {
		content, readErr := languageFiles.ReadFile(name)
		var said map[string]map[string]json.RawMessage
		if err = json.Unmarshal(content, &said); err != nil || readErr != nil {
			break
		}
		for key, by := range said {
			for _, t := range all {
				t.words[key] = by[t.Tag.String()]
			}
		}
	}
	if err != nil {
		panic(fmt.Errorf("admin: languages: %w", err))
	}
	return all
}

// text is what a key without plural forms says.
func (t *tongue) text(key string) (string, error) {
	var text string
	if err := json.Unmarshal(t.words[key], &text); err != nil {
		return "", fmt.Errorf("admin: languages: %s: %s: %w", t.Tag, key, err)
	}
	return text, nil
}

// languageCookie holds the language that a person has chosen on the page.
const languageCookie = "endogate-language"

// tongueOf is the language in which c is answered: chosen on the page, or the first one its browser asks for that there is.
func tongueOf(c echo.Context) *tongue {
	chosen := ""
	if cookie, err := c.Cookie(languageCookie); err == nil {
		chosen = cookie.Value
	}
	_, i := language.MatchStrings(matcher, chosen, c.Request().Header.Get("Accept-Language"))
	return &tongues[i]
}

// chosen keeps the language that a link of the page names for a year, and goes on to the page itself; browsers keep what is behind #.
func (s *Server) chosen(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		query := c.QueryParams()
		name := query.Get("language")
		if name == "" {
			return next(c)
		}
		for _, t := range tongues {
			if t.Tag.String() == name {
				c.SetCookie(&http.Cookie{
					Name: languageCookie, Value: name, Path: "/", MaxAge: 365 * 24 * 3600,
					HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.SignIn != nil && s.SignIn.Secure,
				})
			}
		}
		query.Del("language")
		to := *c.Request().URL
		to.RawQuery = query.Encode()
		return c.Redirect(http.StatusSeeOther, to.RequestURI())
	}
}

// inLanguage is what a template is given: the language, links to the others, and what the page shows.
type inLanguage struct {
	Language  string
	Languages []languageLink
	Page      any
}

type languageLink struct {
	Language, Name, Href string
	Current              bool
}

// addresses are where each page is, wherever it is shown.
var addresses = map[string]string{"index.html": "/", "signin.html": "/signin", "setup.html": "/setup"}

// page answers with a page in the language of who asks.
func (s *Server) page(c echo.Context, status int, name string, shown any) error {
	t := tongueOf(c)
	data := inLanguage{Language: t.Tag.String(), Page: shown}
	for _, other := range tongues {
		query := url.Values{"language": {other.Tag.String()}}
		if set, ok := shown.(setUpPage); ok {
			query.Set("key", set.Key)
		}
		data.Languages = append(data.Languages, languageLink{other.Tag.String(), other.Name, addresses[name] + "?" + query.Encode(), other.Tag == t.Tag})
	}
	var b strings.Builder
	if err := t.pages.ExecuteTemplate(&b, name, data); err != nil {
		return faultOf("the page was not made", err)
	}
	return c.HTML(status, b.String())
}

// front is the page: one for all that is shown by scripts.
func (s *Server) front(c echo.Context) error { return s.page(c, http.StatusOK, "index.html", nil) }

// catalogue is what scripts say in a language, where file names one: catalogue.de.json.
func catalogue(file string) ([]byte, bool) {
	for _, t := range tongues {
		if path.Base(file) == "catalogue."+t.Tag.String()+".json" {
			content, err := json.Marshal(t.words)
			return content, err == nil
		}
	}
	return nil, false
}
