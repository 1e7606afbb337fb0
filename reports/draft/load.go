package draft

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"endogate/configs/strict"
)

//go:embed templates/*.yaml
var embedded embed.FS

// Bounds of a folder of templates.
const (
	maxFile     = 1 << 20
	maxSections = 40
	maxTerms    = 5000
)

// Default are the templates that come with the gateway.
var Default = sync.OnceValue(func() *Templates {
	t, err := load("")
	if err != nil {
		panic(err) // a test loads them
	}
	return t
})

// Load reads the templates that come with the gateway, and over them the files of dir: a file of dir stands in the place
// of the gateway's of the same name, or beside them. Everything wrong with them is named at once, with file and line. An
// empty dir is none.
func Load(dir string) (*Templates, error) {
	if dir == "" {
		return Default(), nil
	}
	return load(dir)
}

func load(dir string) (*Templates, error) {
	ours, err := fs.Sub(embedded, "templates")
	if err != nil {
		return nil, err
	}
	files, err := strict.Folder(ours, dir)
	if err != nil {
		return nil, fmt.Errorf("draft: templates: %w; endogate templates DIR writes a folder to begin with", err)
	}
	t := &Templates{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := &strict.Faults{Prefix: "draft: ", File: path.Join(dir, name)}
		t.file(files[name], f)
		errs = append(errs, f.Err())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, t.whole()
}

// file reads one: a template, a language or terms.
func (t *Templates) file(text []byte, f *strict.Faults) {
	root, ok := strict.Parse(bytes.NewReader(text), maxFile, f)
	if !ok {
		return
	}
	fields := root.Fields()
	switch kinds := fields.Keys(); {
	case slices.Contains(kinds, "template"):
		t.templates = append(t.templates, readTemplate(fields))
	case slices.Contains(kinds, "language"):
		t.languages = append(t.languages, readLanguage(fields))
	case slices.Contains(kinds, "terms"):
		t.terms = append(t.terms, readTerms(fields.Required("terms"))...)
	default:
		root.Fault("is neither a template, nor a language, nor terms: one of these keys is needed")
		return
	}
	fields.Done()
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func name(v strict.Value) string {
	n := v.Text(32)
	if n != "" && !validName.MatchString(n) {
		v.Fault("must be lower case letters, digits and '-'")
	}
	return n
}

func readTemplate(f *strict.Fields) template {
	t := template{
		Name: name(f.Required("template")), Title: f.Required("title").Code(),
		Region: strict.OneOf(f.Optional("region"), "upper", "lower"), Match: readMatch(f.Optional("match")),
	}
	sections := f.Required("sections")
	items := sections.List()
	if len(items) > maxSections {
		sections.Fault("has %d sections; at most %d are allowed", len(items), maxSections)
		return t
	}
	for _, item := range items {
		p := readPlan(item)
		if slices.ContainsFunc(t.Sections, func(other plan) bool { return other.Name == p.Name && p.Name != "" }) {
			item.Fault("name: there is a section of this name already")
		}
		t.Sections = append(t.Sections, p)
	}
	return t
}

func readMatch(v strict.Value) match {
	f := v.Fields()
	defer f.Done()
	list := func(key string) []string {
		var out []string
		for _, item := range f.Optional(key).List() {
			out = append(out, item.Text(64))
		}
		return out
	}
	return match{Routes: list("routes"), Procedures: list("procedures"), BodyParts: list("body_parts")}
}

// personOnly are sections (LOINC) that nothing but a person may fill: a network knows nothing of them, and an empty one
// would read as "none" (the report's template, CO-RADS: GIE 65:757).
var personOnly = []string{"11329-0", "29549-3", "55109-3", "18783-1"}

// gatewayNames are the sections that the gateway alone writes, whatever a template or an older draft says.
var gatewayNames = []string{"header", "disclosure"}

func (s Section) gatewayOnly() bool {
	return s.Fill == FillGateway || slices.Contains(gatewayNames, s.Name)
}

func readPlan(v strict.Value) plan {
	f := v.Fields()
	defer f.Done()
	p := plan{Name: name(f.Required("name")), Code: f.Optional("code").Code()}
	fill := f.Required("fill")
	p.Fill = strict.OneOf(fill, FillPerson, FillOrder, FillAI, FillGateway)
	if p.Code.Scheme == "LN" && slices.Contains(personOnly, p.Code.Value) && p.Fill != FillPerson && p.Fill != "" {
		fill.Fault("must be person: the gateway knows nothing of what belongs into this section")
	}
	if slices.Contains(gatewayNames, p.Name) && p.Fill != FillGateway && p.Fill != "" {
		fill.Fault("must be gateway: no person may write over whom the report is on, nor over what the machine did")
	}
	p.Head = texts(f.Required("heading"), func(v strict.Value, language string) string {
		text := v.Text(200)
		checkText(v, language, text, nil)
		return text
	})
	p.Text = texts(f.Required("text"), func(v strict.Value, language string) string {
		text := v.Paragraphs(maxText)
		checkText(v, language, text, blanksOf(p.Fill))
		return text
	})
	return p
}

// texts reads what something is called in each language.
func texts(v strict.Value, read func(strict.Value, string) string) map[string]string {
	f := v.Fields()
	defer f.Done()
	out := map[string]string{}
	for _, language := range f.Keys() {
		out[language] = read(f.Required(language), language)
	}
	return out
}

var blank = regexp.MustCompile(`\{[^{}]*\}|[{}]`)

// checkText names what a text may not say, and blanks that nothing fills.
func checkText(v strict.Value, language, text string, blanks []string) {
	for _, b := range blank.FindAllString(text, -1) {
		if known := strings.Trim(b, "{}"); known == "" || !slices.Contains(blanks, known) {
			v.Fault("%s is no blank that is filled in here; known are {%s}", b, strings.Join(blanks, "}, {"))
		}
	}
	for _, claim := range claims(language, text) {
		v.Fault("%q claims that something is absent or normal: a template may not", claim)
	}
}

func readLanguage(f *strict.Fields) language {
	l := language{Name: name(f.Required("language")), Phrases: map[string]string{}}
	p := f.Required("phrases").Fields()
	defer p.Done()
	for _, name := range slices.Sorted(maps.Keys(phrases)) {
		v := p.Required(name)
		text := v.Text(maxLine)
		checkText(v, l.Name, text, append([]string{"todo"}, phrases[name]...))
		l.Phrases[name] = text
	}
	return l
}

var groups = []string{"lumen", "contents", "mucosa", "flat", "protruding", "excavated", "other"}

func readTerms(v strict.Value) []term {
	items := v.List()
	if len(items) > maxTerms {
		v.Fault("has %d terms; at most %d are allowed", len(items), maxTerms)
		return nil
	}
	var out []term
	for _, item := range items {
		f := item.Fields()
		k := term{
			Code: f.Required("code").Code(), Region: strict.OneOf(f.Optional("region"), "upper", "lower"),
			Group:        strict.OneOf(f.Optional("group"), groups...),
			Intervention: strict.OneOf(f.Optional("intervention"), "true", "false") == "true",
			Text: texts(f.Required("text"), func(v strict.Value, language string) string {
				text := v.Text(100)
				checkText(v, language, text, nil)
				return text
			}),
		}
		if slices.ContainsFunc(out, func(other term) bool { return other.Code == k.Code }) {
			item.Fault("this code is there already")
		}
		f.Done()
		out = append(out, k)
	}
	return out
}

// whole names what is wrong between files.
func (t *Templates) whole() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("draft: templates: "+format, args...))
	}
	var languages []string
	for _, l := range t.languages {
		if slices.Contains(languages, l.Name) {
			add("language %s is there twice", l.Name)
		}
		languages = append(languages, l.Name)
	}
	if !slices.Contains(languages, "en") {
		add("English (language: en) is missing")
	}
	general, names := 0, []string{}
	for _, p := range t.templates {
		if p.general() {
			general++
		}
		if slices.Contains(names, p.Name) {
			add("template %s is there twice", p.Name)
		}
		names = append(names, p.Name)
		for _, s := range p.Sections {
			for _, l := range languages {
				if s.Head[l] == "" || s.Text[l] == "" {
					add("template %s: section %s: heading or text in language %s is missing", p.Name, s.Name, l)
				}
			}
		}
	}
	if general != 1 {
		add("%d templates have no match; one is needed for what no other template matches", general)
	}
	return errors.Join(errs...)
}

// Languages are those that a draft can be written in.
func (t *Templates) Languages() []string {
	var names []string
	for _, l := range t.languages {
		names = append(names, l.Name)
	}
	return names
}

// Names are those of the templates.
func (t *Templates) Names() []string {
	var names []string
	for _, p := range t.templates {
		names = append(names, p.Name)
	}
	return names
}

// Speaks says what is wrong with a language: drafts cannot be written in it.
func (t *Templates) Speaks(language string) error {
	if !slices.Contains(t.Languages(), language) {
		return fmt.Errorf("draft: language %q: there are %s; a file %s.yaml in the folder of templates would add it", language, strings.Join(t.Languages(), ", "), language)
	}
	return nil
}

// Export writes the templates that come with the gateway into dir, to be edited. It overwrites nothing.
func Export(dir string) (written []string, err error) {
	ours, err := fs.Sub(embedded, "templates")
	if err != nil {
		return nil, err
	}
	return strict.Export(ours, dir)
}

// Called is what a finding is called in a language.
func (t *Templates) Called(language string, f Finding) string {
	return t.called(t.language(language), f)
}

// Label is what something is called in a language, such as patient (the phrase label-patient); empty where nothing is
// called so.
func (t *Templates) Label(language, name string) string {
	return t.language(language).Phrases["label-"+name]
}
