package configs

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
)

const unknown = "unknown key"

// fault is what is wrong with the value of a key.
type fault struct{ key, what string }

// Fault is what is wrong with the value of a key of the configuration, found by those who know more of it: Locate says
// where it stands.
func Fault(key, format string, args ...any) error { return fault{key, fmt.Sprintf(format, args...)} }

// Locate adds to the faults in err, if there are any, the file at path and the line, or the variable, that they stand in.
func Locate(path string, err error) error {
	var one fault
	if !errors.As(err, &one) {
		return err
	}
	text, _ := readFile(path) // it was read before
	env, _ := environment(os.Environ(), reflect.TypeFor[Config]())
	var errs []error
	for _, f := range leaves(err) {
		errs = append(errs, f.at(text, env))
	}
	err = errors.Join(errs...)
	if path != "" {
		err = fmt.Errorf("configs: %s: %w", path, err)
	}
	return err
}

// follows reports whether f is about a value that has not been read because of other.
func (f fault) follows(other fault) bool {
	return !strings.HasPrefix(other.what, unknown) && (within(f.key, other.key) || within(other.key, f.key))
}

// within reports whether key is outer, or below it.
func within(key, outer string) bool {
	rest, found := strings.CutPrefix(key, outer)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// at is the fault with the place where its value stands: a variable of the environment, or else a line of text.
func (f fault) at(text []byte, env map[string]any) error {
	what := f.Error()
	for key := range env {
		if within(f.key, key) {
			return fmt.Errorf("%s: %s", variable(key), what)
		}
	}
	if line := lineOf(text, f.key); line > 0 {
		return fmt.Errorf("line %d: %s", line, what)
	}
	return errors.New(what)
}

// leaves takes the faults that decoding or validation joined apart.
func leaves(err error) []fault {
	var found []fault
	switch e := err.(type) {
	case nil:
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			found = append(found, leaves(one)...)
		}
	case *mapstructure.DecodeError:
		if deeper := leaves(e.Unwrap()); len(deeper) > 0 && deeper[0].key != "" {
			return deeper
		}
		found = []fault{{e.Name(), plain(e.Unwrap())}}
	case fault:
		found = []fault{e}
	default:
		if inner := errors.Unwrap(err); inner != nil {
			return leaves(inner)
		}
		found = []fault{{"", err.Error()}}
	}
	return found
}

// Error is the fault without its place.
func (f fault) Error() string {
	switch {
	case f.key == "":
		return f.what
	case strings.HasPrefix(f.what, unknown+";"):
		return unknown + " " + f.key + f.what[len(unknown):]
	case f.what == unknown:
		return f.what + " " + f.key
	}
	return f.key + ": " + f.what
}

// plain says what could not be read without the names of the library's types.
func plain(err error) string {
	var number *mapstructure.ParseError
	var kind *mapstructure.UnconvertibleTypeError
	switch {
	case errors.As(err, &number):
		return fmt.Sprintf("%q is no number that can stand here", fmt.Sprint(number.Value))
	case errors.As(err, &kind):
		return fmt.Sprintf("one value is expected, not %v", kind.Value)
	}
	return err.Error()
}

// examples show how a list of sections is written.
var examples = map[reflect.Type]string{
	reflect.TypeFor[Peer]():          "[{ae_title: SCOPE1, hosts: [10.1.2.0/24]}]",
	reflect.TypeFor[Model]():         "[{dir: /opt/models/polyp}]",
	reflect.TypeFor[Route]():         "[{name: endoscopy, match: {modality: [ES]}, models: [polyp], destinations: [pacs]}]",
	reflect.TypeFor[Heatmap]():       "[{method: gradcam, layer: last}]",
	reflect.TypeFor[Destination]():   "[{name: pacs, kind: dicom, ae_title: PACS, address: \"10.1.2.9:104\"}]",
	reflect.TypeFor[Urgent]():        "[{class: polyp, threshold: 0.95, frames: 2}]",
	reflect.TypeFor[Live]():          "[{name: room1, source: \"rtsp://10.0.0.7/live\", calling_ae: ROOM1}]",
	reflect.TypeFor[Notify]():        "[{name: oncall, on: urgent, to: [pager]}]",
	reflect.TypeFor[System]():        "[{authority: HOSP, uri: \"urn:oid:1.2.3\"}]",
	reflect.TypeFor[TemplateField](): "[{field: OBR-24, value: ES}]",
}

// shape passes sections and lists alone: what is left is the keys that nothing knows, whatever their values are.
func shape(from, to reflect.Type, value any) (any, error) {
	if to.Kind() == reflect.Struct && from.Kind() == reflect.Map || to.Kind() == reflect.Slice && from.Kind() == reflect.Slice {
		return value, nil
	}
	return reflect.Zero(to).Interface(), nil
}

// hook refuses what would be read as something that nobody meant: a number without its unit, a word for a list.
func hook(from, to reflect.Type, value any) (any, error) {
	text, _ := value.(string)
	switch {
	case to == reflect.TypeFor[Choice]():
		if yes, err := strconv.ParseBool(text); err == nil {
			return strconv.FormatBool(yes), nil
		}
	case from.Kind() == reflect.String && (to.Kind() == reflect.Int && !whole10.MatchString(text) || to.Kind() == reflect.Float64 && !decimal.MatchString(text)):
		return nil, fmt.Errorf("%q is no number that can stand here; write it in digits, without a zero before them", text)
	case from.Kind() == reflect.String && to.Kind() == reflect.Bool:
		if _, err := strconv.ParseBool(value.(string)); err != nil {
			return nil, fmt.Errorf("%q is neither true nor false; write one of them", value)
		}
	case to.Kind() == reflect.Slice && from.Kind() != reflect.Slice && examples[to.Elem()] != "":
		return nil, fmt.Errorf("a list is expected; write %s", examples[to.Elem()])
	case to.Kind() == reflect.Struct && from.Kind() != reflect.Map && !reflect.PointerTo(to).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()):
		return nil, fmt.Errorf("%v stands where a section with keys of its own is expected", value)
	}
	return value, nil
}

// whole10 and decimal are numbers that everybody reads alike: 010 is ten or eight, and 1_000 a slip of the pen.
var (
	whole10 = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

var indented = regexp.MustCompile(`^ *\t`)

// tab names the first line of a text that is no YAML that a tab indents: the parser says no more than that it cannot go on.
func tab(text []byte) error {
	for i, line := range strings.Split(string(text), "\n") {
		if indented.MatchString(line) && strings.TrimSpace(line) != "" {
			return fmt.Errorf("line %d: a tab; YAML is indented with spaces", i+1)
		}
	}
	return nil
}

var index = regexp.MustCompile(`\[(\d+)\]`)

// lineOf finds the line on which the dotted key stands, or else the nearest section above it; 0 where the text has none.
func lineOf(text []byte, key string) int {
	lines := strings.Split(string(text), "\n")
	asWritten := regexp.MustCompile(`^\s*"?` + regexp.QuoteMeta(key) + `"?\s*:`)
	if i := slices.IndexFunc(lines, asWritten.MatchString); i >= 0 && strings.Contains(key, ".") { // with a dot, where none belongs
		return i + 1
	}
	found, from, to := -1, 0, len(lines)
	for part := range strings.SplitSeq(key, ".") {
		name, _, _ := strings.Cut(part, "[")
		before := `(^|[\s{,-])`
		if found < 0 {
			before = "^"
		}
		pattern := regexp.MustCompile(before + `"?` + regexp.QuoteMeta(name) + `"?\s*:`)
		for from < to && (empty(lines[from]) || !pattern.MatchString(lines[from])) {
			from++
		}
		if from == to {
			break
		}
		found, to = from, end(lines, from, to)
		for _, m := range index.FindAllStringSubmatch(part, -1) {
			n, _ := strconv.Atoi(m[1])
			from, to = item(lines, from, to, n)
			found = from
		}
	}
	return found + 1
}

func empty(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

func depth(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// end returns where the section that begins on line at ends.
func end(lines []string, at, to int) int {
	body := strings.TrimLeft(lines[at], " -")
	for i := at + 1; i < to; i++ {
		listed := strings.HasPrefix(strings.TrimLeft(lines[i], " "), "- ") && depth(lines[i]) == len(lines[at])-len(body)
		if !empty(lines[i]) && !listed && depth(lines[i]) <= len(lines[at])-len(body) {
			return i
		}
	}
	return to
}

// item returns the lines of entry n of the list whose key stands on line at; a list on one line is that line.
func item(lines []string, at, to, n int) (int, int) {
	indent, start := -1, -1
	for i := at + 1; i < to; i++ {
		if !strings.HasPrefix(strings.TrimLeft(lines[i], " "), "-") || indent >= 0 && depth(lines[i]) != indent {
			continue
		}
		indent = depth(lines[i])
		if start >= 0 {
			return start, i
		}
		if n == 0 {
			start = i
		}
		n--
	}
	if start < 0 {
		return at, to
	}
	return start, to
}

// unknownKey is the fault of a key that nothing knows, with the one that may be meant.
func unknownKey(config reflect.Type, key string) fault {
	if _, dotted := keys(config, "")[key]; dotted {
		section, below, _ := strings.Cut(key, ".")
		return fault{key, fmt.Sprintf("a key has no dot in it; write %s below %s", below, section)}
	}
	parts := strings.Split(key, ".")
	t := config
	for i, part := range parts {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			break
		}
		name, _, _ := strings.Cut(part, "[")
		var names []string
		var next reflect.Type
		for field := range t.Fields() {
			names = append(names, field.Tag.Get("koanf"))
			if names[len(names)-1] == name {
				next = field.Type
			}
		}
		if next == nil {
			near := nearest(strings.ToLower(name), names)
			if distance(strings.ToLower(name), near) <= 1+len(name)/4 {
				meant := strings.Join(append(slices.Clone(parts[:i]), near), ".")
				return fault{key, unknown + "; did you mean " + meant + "?"}
			}
			return fault{key, unknown + belongs(config, name)}
		}
		t = next
	}
	return fault{key, unknown}
}

// belongs says where the one key or section of that name belongs, which was indented as if it were of another section.
func belongs(config reflect.Type, name string) string {
	var found []string
	for key := range keys(config, "") {
		at := strings.Index("."+key+".", "."+name+".")
		if at >= 0 && !slices.Contains(found, key[:at+len(name)]) {
			found = append(found, key[:at+len(name)])
		}
	}
	if len(found) != 1 {
		return ""
	}
	return "; did you mean " + found[0] + "? It is indented as a key of another section"
}
