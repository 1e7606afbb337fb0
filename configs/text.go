package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
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
		case aliases.MatchString(line):
			errs = append(errs, fmt.Errorf("line %d: anchors and aliases (& and *) are not read; write the value where it belongs, in quotes if it begins so", i+1))
		}
		begun = begun || !empty(line) && line != "---"
	}
	return text, errors.Join(errs...)
}

// aliases are values that begin with & or *, not in quotes or a comment.
var aliases = regexp.MustCompile(`^[^#"']*([:,\[{-]\s+|[\[{,]|^\s*)([&*][A-Za-z0-9_-]|<<\s*:)`)

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
	if m := twice.FindStringSubmatch(said); m != nil {
		return fmt.Errorf("line %s: %s stands there twice, first on line %s; keep one", m[1], m[2], m[3])
	}
	for _, w := range yamlWords {
		if m := w.said.FindStringSubmatch(said); m != nil {
			return fmt.Errorf("line %s: %s", m[1], w.words)
		}
	}
	if strings.Contains(said, "cannot unmarshal") || strings.Contains(said, "into map") {
		return errors.New("line 1: keys with values are expected, such as data_dir: /var/lib/endogate")
	}
	line, _, _ := strings.Cut(said, ":")
	return fmt.Errorf("%s: no YAML from here, or from a line before: look for a missing colon, quote or bracket, or an indentation that fits nothing", line)
}

var twice = regexp.MustCompile(`line (\d+): mapping key ("[^"]*") already defined at line (\d+)`)

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
