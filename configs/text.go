package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"endogate/configs/strict"
)

// maxFile bounds the configuration file, in bytes: a thousand routes are a tenth of it.
const maxFile = 4 << 20

// readFile reads the file at path; none where it is empty.
func readFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: larger than %d MiB: is it the configuration?", path, maxFile>>20)
	}
	return text, err
}

// readable returns text as YAML has it: without a byte order mark, with one kind of line end. What is no text, and what
// YAML would read as something that nobody sees, is named here.
func readable(text []byte) ([]byte, error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		return nil, errors.New("line 1: the file is UTF-16; save it as UTF-8")
	case !utf8.Valid(text):
		return nil, fmt.Errorf("line %d: a character that is not UTF-8; save the file as UTF-8", 1+bytes.Count(text[:invalid(text)], []byte("\n")))
	}
	text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	var errs []error
	begun := false
	for i, line := range strings.Split(string(text), "\n") {
		switch line := strings.TrimRight(line, " "); {
		case begun && (line == "---" || line == "..." || strings.HasPrefix(line, "--- ")):
			errs = append(errs, fmt.Errorf("line %d: %s ends the document, and nothing after it would be read; keep one", i+1, line[:3]))
		case unseen(line) != 0:
			errs = append(errs, fmt.Errorf("line %d: a character that nobody sees (U+%04X), as copied text has; take it out, or write it in double quotes as \\u%04[2]x", i+1, unseen(line)))
		}
		begun = begun || !empty(line) && line != "---"
	}
	return text, errors.Join(errs...)
}

// unseen is a character of line that editors do not show, or show as another line, and YAML takes for a part of a word or for a line end.
func unseen(line string) rune {
	for i, r := range line {
		switch {
		case r == '\u0085' || r == '\u2028' || r == '\u2029':
			return r
		case unicode.Is(unicode.Cf, r) && !comment.MatchString(line[:i]):
			return r
		}
	}
	return 0
}

var comment = regexp.MustCompile(`(^|\s)#`)

// texts is what stands in a configuration, every value as it was written, and what YAML would misread in it.
func texts(text []byte) (map[string]any, error, error) {
	value, misread, err := strict.Texts(text)
	if err != nil {
		return nil, nil, inWords(text, err)
	}
	var errs []error
	for _, m := range misread {
		errs = append(errs, fmt.Errorf("line %d: %s", m.Line, m.What))
	}
	keys, section := value.(map[string]any)
	if !section && (value != nil || len(errs) > 0) {
		return nil, nil, errors.Join(append(errs, errors.New("line 1: keys with values are expected, such as data_dir: /var/lib/endogate"))...)
	}
	return keys, errors.Join(errs...), nil
}

// valued leaves out the keys without a value: their defaults hold.
func valued(keys map[string]any) map[string]any {
	left := map[string]any{}
	for key, value := range keys {
		switch v := value.(type) {
		case nil:
		case map[string]any:
			left[key] = valued(v)
		default:
			left[key] = v
		}
	}
	return left
}

// invalid is where text stops being UTF-8.
func invalid(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(text)
}

// inWords says what is wrong with a text that is no YAML, for who wrote it and not for who wrote the parser.
func inWords(text []byte, err error) error {
	if t := tab(text); t != nil {
		return t
	}
	said := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:\n  ")
	if !strings.HasPrefix(said, "line ") { // the parser leaves the first away
		said = "line 1: " + said
	}
	if m := noAnchor.FindStringSubmatch(said); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		return fmt.Errorf("line %d: anchors and aliases (& and *) are not read; write the value where it belongs, in quotes if it begins so", 1+bytes.Count(before, []byte("\n")))
	}
	for _, w := range yamlWords {
		if m := w.said.FindStringSubmatch(said); m != nil {
			return fmt.Errorf("line %s: %s", m[1], w.words)
		}
	}
	line, _, _ := strings.Cut(said, ":")
	return fmt.Errorf("%s: no YAML from here, or from a line before: look for a missing colon, quote or bracket, or an indentation that fits nothing", line)
}

var noAnchor = regexp.MustCompile(`unknown anchor '([^']+)' referenced`)

// yamlWords are what the parser says, and what is meant.
var yamlWords = []struct {
	said  *regexp.Regexp
	words string
}{
	{regexp.MustCompile(`line (\d+): mapping values are not allowed`), "a second colon, or a key that is indented deeper than the one before; put the value in quotes, or the keys below each other"},
	{regexp.MustCompile(`line (\d+): could not find expected ':'`), "a colon is missing here or on the line before: a key is followed by a colon and a blank"},
	{regexp.MustCompile(`line (\d+): did not find expected (key|<document start>|'-' indicator)`), "an indentation that fits nothing: keys of one section stand below each other"},
	{regexp.MustCompile(`line (\d+): did not find expected ',' or '[\]}]'`), "a comma or a closing bracket is missing here or on the line before"},
	{regexp.MustCompile(`line (\d+): (found unexpected end of stream|found unexpected document indicator)`), "a quote or bracket that is opened and not closed"},
	{regexp.MustCompile(`line (\d+): found unknown escape character`), `a backslash in double quotes; use single quotes, or write two`},
	{regexp.MustCompile(`line (\d+): found character that cannot start`), "a value that begins with @, %, | or a backtick; put it in quotes"},
	{regexp.MustCompile(`line (\d+): control characters are not allowed`), "a control character, which YAML does not take; was it saved by another program than an editor?"},
}
