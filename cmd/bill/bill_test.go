package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// committed is where the two files are.
const committed = "../endogate/bill"

// needed are the parts, asked for once.
var needed = sync.OnceValues(collect)

func TestBill_isWhatTheCodeNeeds(t *testing.T) {
	parts, err := needed()
	require.NoError(t, err)
	var sbom, licences bytes.Buffer
	require.NoError(t, writeSBOM(&sbom, unreleased, parts))
	require.NoError(t, writeLicences(&licences, parts))
	for name, want := range map[string]*bytes.Buffer{sbomFile: &sbom, licencesFile: &licences} {
		got, err := os.ReadFile(filepath.Join(committed, name))
		require.NoError(t, err)
		if !bytes.Equal(want.Bytes(), got) {
			require.Equal(t, want.String(), string(got), "what is needed has changed, and %s has not: make generate", name)
		}
	}
}

func TestBill_conforms(t *testing.T) {
	dir, err := goCommand("list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go")
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	for name, id := range map[string]string{"bom-1.6": "bom-1.6.schema.json", "spdx": "spdx.schema.json", "jsf-0.82": "jsf-0.82.schema.json"} {
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(dir), "schema", name+".schema*.json"))
		require.NoError(t, err)
		require.Len(t, files, 1, name)
		f, err := os.Open(files[0])
		require.NoError(t, err)
		defer f.Close()
		document, err := jsonschema.UnmarshalJSON(f)
		require.NoError(t, err)
		require.NoError(t, compiler.AddResource("http://cyclonedx.org/schema/"+id, document))
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(committed, sbomFile))
	require.NoError(t, err)
	valid := func(text []byte) error {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		return schema.Validate(document)
	}
	require.NoError(t, valid(text))
	require.Error(t, valid(bytes.Replace(text, []byte(`"type": "library"`), []byte(`"type": "book"`), 1)), "the schema sees nothing")
}

// What Go itself wrote into the binary of what it is made is what the bill says.
func TestBill_binary(t *testing.T) {
	binary, err := filepath.Abs("../../bin/endogate")
	require.NoError(t, err)
	installed.Require(t, binary)
	info, err := buildinfo.ReadFile(binary)
	require.NoError(t, err)
	inside := map[string]string{}
	for _, m := range info.Deps {
		inside[m.Path] = m.Version
	}
	listed := map[string]string{}
	for _, c := range components(t) {
		if strings.HasPrefix(c.PackageURL, "pkg:golang/") && c.Scope == cdx.ScopeRequired && c.Name != "std" {
			listed[c.Name] = c.Version
		}
	}
	assert.Equal(t, inside, listed)
}

// What lies beside the binary is what the bill says.
func TestBill_library(t *testing.T) {
	library, err := filepath.Abs("../../bin/lib/libonnxruntime.so.1")
	require.NoError(t, err)
	installed.Require(t, library)
	b, err := os.ReadFile(library)
	require.NoError(t, err)
	assert.Equal(t, runtimeSHA256, fmt.Sprintf("%x", sha256.Sum256(b)), "bin/lib/libonnxruntime.so.1 is not the file of the archive in deploy/npm.txt: if the version there has changed, runtimeSHA256 has to follow")
}

func components(t *testing.T) []cdx.Component {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(committed, sbomFile))
	require.NoError(t, err)
	var bom cdx.BOM
	require.NoError(t, json.Unmarshal(text, &bom))
	return *bom.Components
}

// What is distributed has a version or a place, a licence that may be, a text, and where it comes from an archive its digest.
func TestBill_whatIsDistributed(t *testing.T) {
	parts, err := needed()
	require.NoError(t, err)
	for _, p := range parts {
		assert.True(t, p.PURL != "" || p.URL != "", p.Name)
		switch {
		case strings.HasPrefix(p.PURL, "pkg:golang/") && p.Name != "std":
			assert.Len(t, p.SHA256, 64, p.Name)
		case strings.HasPrefix(p.PURL, "pkg:npm/"):
			assert.Len(t, p.SHA512, 128, p.Name)
		}
	}
}

func TestPart_check(t *testing.T) {
	texts := []text{{"LICENSE", "x"}}
	for _, tt := range []struct {
		name, want string
		p          part
	}{
		{name: "may be", p: part{Licence: "MIT AND Apache-2.0", Texts: texts}},
		{name: "not known", p: part{}, want: "its licence is not known"},
		{name: "must not be", p: part{Licence: "MIT AND GPL-3.0-only", Texts: texts}, want: "has the licence GPL-3.0-only"},
		{name: "no text", p: part{Licence: "MIT"}, want: "the text of its licence was not found"},
		{name: "a tool", p: part{Licence: "GPL-3.0-only", Use: toBuildTest}},
		{name: "a tool that is not known", p: part{Use: toBuildTest}, want: "its licence is not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.p.check()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLicence(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		texts      []text
	}{
		{"one", "MIT", []text{{"LICENSE", microsoft}}},
		{"two", "BSD-3-Clause AND MIT", []text{{"LICENSE", microsoft}, {"COPYING", offis}}},
		{"a notice", "MIT", []text{{"LICENSE", microsoft}, {"NOTICE", "Made by somebody."}}},
		{"unknown words", "", []text{{"LICENSE", "Do as you are told."}}},
		{"one is not known", "", []text{{"LICENSE", microsoft}, {"COPYING", "Do as you are told."}}},
		{"none", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, licence(tt.texts)) })
	}
}

func TestNPM_refuses(t *testing.T) {
	for _, table := range []string{"test a 1.0.0 MIT\n", "test a 1.0.0 MIT *** . bin/a\n"} {
		_, err := npm(table)
		require.Error(t, err, table)
	}
}

func TestDebian(t *testing.T) {
	var purls []string
	for _, p := range debian("libc6 2.36-9+deb12u10 amd64\nfonts-droid-fallback 1:6.0.1r16-1.1 all\n") {
		require.NoError(t, p.check())
		purls = append(purls, p.PURL)
	}
	assert.Equal(t, []string{"pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64", "pkg:deb/debian/fonts-droid-fallback@1%3A6.0.1r16-1.1?arch=all"}, purls)
}
