package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

const envPrefix = "ENDOGATE_"

// Load reads the file at path over the defaults, then the environment over both, and validates the whole.
// An unknown key is an error with its line. An empty path means no file.
func Load(path string) (Config, error) { return load(path, Default()) }

// LoadWorker is Load for a worker alone.
func LoadWorker(path string) (Worker, error) { return load(path, DefaultWorker()) }

func load[T interface{ Validate() error }](path string, defaults T) (c T, err error) {
	var text []byte
	if path != "" {
		if text, err = os.ReadFile(path); err != nil {
			return c, fmt.Errorf("configs: %w", err)
		}
	}
	read, err := parse(text, os.LookupEnv, defaults)
	if err == nil {
		err = read.Validate()
	}
	if err != nil {
		return c, fmt.Errorf("configs: %s: %w", path, err)
	}
	return read, nil
}

// parse reads text and the environment over the defaults.
func parse[T any](text []byte, lookup func(string) (string, bool), defaults T) (none T, err error) {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return none, err
	}
	env, err := environment(lookup, reflect.TypeFor[T]())
	if err != nil {
		return none, err
	}
	if err := k.Load(confmap.Provider(env, "."), nil); err != nil {
		return none, err
	}
	c := defaults
	var met mapstructure.Metadata
	err = k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result:           &c,
		Metadata:         &met,
		WeaklyTypedInput: true, // the environment has text only
		TagName:          "koanf",
		ZeroFields:       true, // a list in the file replaces the default list
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.TextUnmarshallerHookFunc(),
		),
	}})
	if err != nil {
		return none, err
	}
	var unknown []error
	for _, key := range met.Unused {
		unknown = append(unknown, fmt.Errorf("line %d: unknown key %s", lineOf(text, key), key))
	}
	return c, errors.Join(unknown...)
}

// environment collects the variables that name a key: ENDOGATE_DICOM_AE_TITLE is dicom.ae_title.
// A list is given as JSON.
func environment(lookup func(string) (string, bool), config reflect.Type) (map[string]any, error) {
	values := map[string]any{}
	var errs []error
	for key, kind := range keys(config, "") {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		text, ok := lookup(name)
		if !ok {
			continue
		}
		if kind != reflect.Slice {
			values[key] = text
			continue
		}
		var list []any
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			errs = append(errs, fmt.Errorf("%s: not a JSON list: %w", name, err))
			continue
		}
		values[key] = list
	}
	return values, errors.Join(errs...)
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

var index = regexp.MustCompile(`\[(\d+)\]`)

// lineOf finds the line on which the dotted key stands, 0 where it is not in the text.
// It looks for the key's parts one below the other, which suffices to point a reader at it.
func lineOf(text []byte, key string) int {
	lines := strings.Split(string(text), "\n")
	at := 0
	for part := range strings.SplitSeq(index.ReplaceAllString(key, ""), ".") {
		pattern := regexp.MustCompile(`(^|[\s{,-])"?` + regexp.QuoteMeta(part) + `"?\s*:`)
		for at < len(lines) && !pattern.MatchString(lines[at]) {
			at++
		}
	}
	if at == len(lines) {
		return 0
	}
	return at + 1
}
