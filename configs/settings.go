package configs

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
)

// Setting is a key of the configuration with its value and where that comes from.
type Setting struct {
	Key    string
	Value  string // as the file would have it: text, or a list as JSON; what is secret in it is not shown
	Source Source
	Where  string // line 12, the variable, or who has put what in the place of what; empty of a default

	whole string // the value with what is secret in it
}

// Equal says whether two settings have the same value from the same kind of source, also of what is not shown.
func (s Setting) Equal(o Setting) bool { return s.whole == o.whole && s.Source == o.Source }

// Source is where a value comes from.
type Source string

// The sources, the later over the earlier.
const (
	FromDefault     Source = "default"
	FromFile        Source = "file"
	FromEnvironment Source = "environment"
	FromPerson      Source = "person" // who has put something in the place of what is configured
)

// Replaced is the setting where a person has put another value in its place; where says who.
func (s Setting) Replaced(value, where string) Setting {
	s.Value, s.whole, s.Source, s.Where = value, value, FromPerson, where
	return s
}

// Settings are all keys of the configuration that Load(path) reads now, in the order of the file that comes with the gateway. Secrets
// are in files that the configuration names; a password that somebody wrote into an address is left out, and so are hashes of passcodes. The error is Load's: what
// could be read is returned with it.
func Settings(path string) ([]Setting, error) {
	_, all, err := Read(path)
	return all, err
}

// Read is Load and Settings of one look at the file.
func Read(path string) (Config, []Setting, error) {
	text, err := readFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("configs: %w", err)
	}
	c, err := loaded(path, text, Default())
	inFile := koanf.New(".")
	text, readErr := readable(text)
	if readErr == nil {
		written, _, textErr := texts(text)
		readErr = errors.Join(textErr, inFile.Load(confmap.Provider(valued(written), ""), nil))
	}
	if readErr != nil {
		return c, nil, err
	}
	env, _ := environment(os.Environ(), reflect.TypeFor[Config]()) // Load has named the faults
	var all []Setting
	settings("", reflect.ValueOf(c), func(key string, v reflect.Value) {
		s := Setting{Key: key, Value: asText(asJSON(v, hidden)), Source: FromDefault, whole: asText(asJSON(v, whole))}
		if inFile.Exists(key) {
			s.Source, s.Where = FromFile, fmt.Sprintf("line %d", lineOf(text, key))
		}
		if _, ok := env[key]; ok {
			s.Source, s.Where = FromEnvironment, variable(key)
		}
		all = append(all, s)
	})
	return c, all, err
}

// settings calls do with every leaf and list below key.
func settings(key string, v reflect.Value, do func(key string, v reflect.Value)) {
	if v.Kind() != reflect.Struct || isText(v) {
		do(key, v)
		return
	}
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("koanf"); tag != "" {
			settings(strings.TrimPrefix(key+"."+tag, "."), v.Field(i), do)
		}
	}
}

// isText says that a value is written as text, whatever it is made of.
func isText(v reflect.Value) bool {
	_, text := v.Interface().(encoding.TextMarshaler)
	_, words := v.Interface().(fmt.Stringer)
	return text || words
}

// asJSON is a value as JSON has it, by the names of the keys; what is empty in a list's items is left out. Texts are shown as show has
// them, by the last key before them.
func asJSON(v reflect.Value, show func(key, text string) string) any {
	return under("", v, show)
}

// under is asJSON of what stands under a key.
func under(key string, v reflect.Value, show func(key, text string) string) any {
	switch written := v.Interface().(type) {
	case Duration:
		return units.ReplaceAllString(written.Std().String(), "$1")
	case Size:
		for _, unit := range slices.Backward(sizeUnits[:len(sizeUnits)-1]) {
			if written != 0 && int64(written)%unit.bytes == 0 {
				return fmt.Sprintf("%d%s", int64(written)/unit.bytes, unit.suffix)
			}
		}
		return fmt.Sprint(int64(written))
	}
	switch {
	case isText(v):
		return show(key, fmt.Sprint(v.Interface()))
	case v.Kind() == reflect.String:
		return show(key, v.String())
	case v.Kind() == reflect.Struct:
		fields := map[string]any{}
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("koanf"); tag != "" && !v.Field(i).IsZero() {
				name := tag
				if d, is := v.Interface().(Destination); is && d.Kind == KindWebhook && tag == "url" {
					name = webhookURL
				}
				fields[tag] = under(name, v.Field(i), show)
			}
		}
		return fields
	case v.Kind() == reflect.Slice:
		items := []any{}
		for i := range v.Len() {
			items = append(items, under(key, v.Index(i), show))
		}
		return items
	case v.Kind() == reflect.Map:
		items := map[string]any{}
		for _, k := range v.MapKeys() {
			items[fmt.Sprint(k.Interface())] = under(key, v.MapIndex(k), show)
		}
		return items
	}
	return v.Interface()
}

// units of which a time span has none, behind others.
var units = regexp.MustCompile(`([hm])0[ms](0s)?$`)

// credentials stand before the host of an address; a password may have any character in it.
var credentials = regexp.MustCompile(`://\S*@`)

// hidden is a text without what is secret in it.
func hidden(key, text string) string {
	if key == "passcode_hash" && text != "" {
		return "***"
	}
	text = credentials.ReplaceAllString(text, "://***@")
	if key == webhookURL {
		return withoutPath(text)
	}
	return text
}

// webhookURL is the key url of a destination of kind webhook: whoever knows its path may post there, with many receivers.
const webhookURL = "webhook url"

// withoutPath is an address as far as its host.
func withoutPath(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	if host, path, _ := strings.Cut(rest, "/"); path != "" {
		return scheme + "://" + host + "/***"
	}
	return address
}

func whole(_, text string) string { return text }

// asText is a value as the file writes it: a text, else JSON.
func asText(value any) string {
	text, alone := value.(string)
	if !alone {
		b, _ := json.Marshal(value) // of texts, numbers, lists and maps it always can
		text = string(b)
	}
	return text
}
