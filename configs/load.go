package configs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"endogate/configs/strict"
)

const envPrefix = "ENDOGATE_"

// notOurs are variables under the prefix that name no key: those of the tests, and what Kubernetes says of a service
// whose name begins alike.
var notOurs = regexp.MustCompile(`^ENDOGATE_((TEST|BENCH)_\w+|DRILL|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?|(\w+_)?PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)=|_PORT=(tcp|udp|sctp)://`)

// Load reads the file at path over the defaults, then the environment over both, and validates the whole. All faults
// are named at once, with the lines of those that stand in the file, and what could be read is returned with them. An
// empty path means no file.
func Load(path string) (Config, error) { return load(path, Default()) }

// LoadWorker is Load for a worker alone.
func LoadWorker(path string) (Worker, error) { return load(path, DefaultWorker()) }

func load[T interface{ Validate() error }](path string, defaults T) (c T, err error) {
	text, err := readFile(path)
	if err != nil {
		return c, fmt.Errorf("configs: %w", err)
	}
	return loaded(path, text, defaults)
}

// loaded is load of the text that stands in the file at path.
func loaded[T interface{ Validate() error }](path string, text []byte, defaults T) (T, error) {
	if path != "" && len(bytes.TrimSpace(text)) == 0 { // an editor or a full disk has left it so: nobody means to run on defaults by it
		return defaults, fmt.Errorf("configs: %s: the file is empty", path)
	}
	read, err := parse(text, os.Environ(), defaults)
	if err != nil && path != "" {
		return read, fmt.Errorf("configs: %s: %w", path, err)
	}
	if err != nil {
		return read, fmt.Errorf("configs: %w", err)
	}
	return read, nil
}

// parse reads text and the environment over the defaults, and validates what comes of it.
func parse[T interface{ Validate() error }](text []byte, environ []string, defaults T) (none T, err error) {
	if text, err = readable(text); err != nil {
		return none, err
	}
	written, misread, err := texts(text)
	if err != nil {
		return none, err
	}
	env, err := environment(environ, reflect.TypeFor[T]())
	k, all := koanf.New("."), koanf.New(".")
	if err := errors.Join(k.Load(confmap.Provider(valued(written), ""), nil), all.Load(confmap.Provider(written, ""), nil), k.Load(confmap.Provider(env, "."), nil), all.Load(confmap.Provider(env, "."), nil)); err != nil {
		return none, err
	}
	c, met := defaults, mapstructure.Metadata{}
	found := leaves(decode(k, &c, nil, mapstructure.ComposeDecodeHookFunc(hook, mapstructure.TextUnmarshallerHookFunc())))
	errs := []error{err, misread, decode(all, new(T), &met, shape)} // on its own: where a value is wrong, its neighbours are not looked at
	for _, key := range met.Unused {
		found = append(found, unknownKey(reflect.TypeFor[T](), key))
	}
	for _, f := range leaves(c.Validate()) {
		if !slices.ContainsFunc(found, f.follows) {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b fault) int { return lineOf(text, a.key) - lineOf(text, b.key) })
	for _, f := range found {
		errs = append(errs, f.at(text, env))
	}
	return c, errors.Join(errs...)
}

func decode(k *koanf.Koanf, into any, met *mapstructure.Metadata, hook mapstructure.DecodeHookFunc) error {
	return k.UnmarshalWithConf("", into, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           into,
		Metadata:         met,
		WeaklyTypedInput: true, // there is text only
		MatchName:        func(key, field string) bool { return key == field },
		TagName:          "koanf",
		ZeroFields:       true, // a list in the file replaces the default list
		DecodeHook:       hook,
	}})
}

// environment collects the variables that name a key: ENDOGATE_DICOM_AE_TITLE is dicom.ae_title.
// A list is given as JSON.
func environment(environ []string, config reflect.Type) (map[string]any, error) {
	byName := map[string]string{}
	for key := range keys(config, "") {
		byName[variable(key)] = key
	}
	values := map[string]any{}
	var errs []error
	for _, set := range environ {
		name, text, _ := strings.Cut(set, "=")
		if capital := strings.ToUpper(name); capital != name && byName[capital] != "" {
			errs = append(errs, fmt.Errorf("%s: variables are read in capitals alone; write %s", name, capital))
		}
		if !strings.HasPrefix(name, envPrefix) || notOurs.MatchString(set) {
			continue
		}
		key, ok := byName[name]
		if !ok {
			errs = append(errs, fmt.Errorf("%s: names no key; %s", name, instead(name, slices.Sorted(maps.Keys(byName)))))
			continue
		}
		json := lists[keys(config, "")[key]]
		if why := wrapped(text, json != nil); why != "" {
			errs = append(errs, fmt.Errorf("%s: %s", name, why))
			continue
		}
		if json == nil {
			values[key] = text
			continue
		}
		if err := json([]byte(text)); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		read, misread, err := strict.Texts([]byte(text)) // numbers as they were written, as in the file
		for _, m := range misread {
			err = errors.Join(err, errors.New(m.What))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		values[key] = read
	}
	return values, errors.Join(errs...)
}

// lists say of the kinds of keys that JSON stands for what is wrong with a text for them.
var lists = map[reflect.Kind]func(text []byte) error{
	reflect.Slice: func(text []byte) error {
		return jsonOf[[]json.RawMessage](text, `list, such as ["a", "b"] or [{"name": "a"}], and [] for none`)
	},
	reflect.Map: func(text []byte) error {
		return jsonOf[map[string]json.RawMessage](text, `object, such as {"a": ["b"]}, and {} for none`)
	},
}

func jsonOf[T []json.RawMessage | map[string]json.RawMessage](text []byte, kind string) error {
	var read T
	if err := json.Unmarshal(text, &read); err != nil || read == nil {
		return fmt.Errorf("not a JSON %s", kind)
	}
	return nil
}

// wrapped says what is around a value that a shell would have taken off: docker run --env-file and manifests of Kubernetes do not.
// A list may go over several lines.
func wrapped(text string, list bool) string {
	n := len(text)
	switch {
	case n > 1 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0]:
		return "the quotes around its value are a part of it here; leave them out"
	case !list && strings.ContainsAny(text, "\r\n"):
		return "there is a line break in its value; was the file of variables saved by Windows? save it with lines that end as on Unix"
	}
	return ""
}

// variable is the name of a key in the environment.
func variable(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// instead says which of names may be meant by name: those that end or begin as it does, or else the one that is written most alike.
func instead(name string, names []string) string {
	if name == envPrefix+"CONFIG" {
		return "name the file with --config"
	}
	part := strings.TrimPrefix(name, envPrefix)
	alike := slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		return part == "" || !strings.HasSuffix(n, "_"+part) && !strings.HasPrefix(n, name+"_")
	})
	switch {
	case len(alike) == 0:
		return nearest(name, names) + " is the nearest name"
	case len(alike) > 4:
		alike = append(alike[:4], "…")
	}
	return "there is " + strings.Join(alike, ", ")
}

// nearest returns the one of names that takes the fewest letters put in, left out or changed to make of name.
func nearest(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for k := range len(b) {
			changed := diagonal
			if a[i] != b[k] {
				changed++
			}
			diagonal = row[k+1]
			row[k+1] = min(changed, diagonal+1, row[k]+1)
		}
	}
	return row[len(b)]
}

// keys returns the dotted path of every leaf and list of t with its kind.
func keys(t reflect.Type, prefix string) map[string]reflect.Kind {
	found := map[string]reflect.Kind{}
	for field := range t.Fields() {
		key := prefix + field.Tag.Get("koanf")
		if field.Type.Kind() != reflect.Struct {
			found[key] = field.Type.Kind()
			continue
		}
		for k, kind := range keys(field.Type, key+".") {
			found[k] = kind
		}
	}
	return found
}
