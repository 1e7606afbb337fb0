package configs

import (
	"fmt"
	"reflect"
	"strings"
)

// SecretFile is a file that a key of the configuration names and nobody but the gateway's user is to read.
type SecretFile struct{ Key, Path string }

// SecretFiles are those that the configuration names.
func (c Config) SecretFiles() []SecretFile { return secretFiles("", reflect.ValueOf(c)) }

func secretFiles(key string, v reflect.Value) (files []SecretFile) {
	switch v.Kind() {
	case reflect.String:
		name := key[strings.LastIndexByte(key, '.')+1:]
		for _, secret := range []string{"key_file", "secret_file", "token_file", "credentials_file", "passcode_file", "password_file", "jwt_file"} {
			if strings.HasSuffix(name, secret) && v.Len() > 0 {
				return []SecretFile{{key, v.String()}}
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if tag := v.Type().Field(i).Tag.Get("koanf"); tag != "" {
				files = append(files, secretFiles(strings.TrimPrefix(key+"."+tag, "."), v.Field(i))...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			files = append(files, secretFiles(fmt.Sprintf("%s[%d]", key, i), v.Index(i))...)
		}
	}
	return files
}
