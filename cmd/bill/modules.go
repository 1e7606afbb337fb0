package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// stated are the licences of modules whose files are not, or not alone, texts that licensecheck knows, as read by a person; and where
// else in the module a text lies.
var stated = map[string]struct{ licence, file string }{
	"github.com/ajstarks/svgo":   {licence: "CC-BY-4.0"},
	"github.com/golang/freetype": {licence: "FTL", file: "licenses/ftl.txt"}, // or GPL-2.0-or-later, as one likes
}

// goCommand asks the go command, about the platform that is shipped, whatever this one is.
func goCommand(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=1", "GOFLAGS=-mod=readonly", "GOPROXY=off")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	return string(out), nil
}

// listed is a package as go list -json has it.
type listed struct {
	ImportPath, Dir string
	Imports         []string
	Standard        bool
	Module          *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path string }
	}
}

// packages lists packages and all that they need.
func packages(args ...string) ([]listed, error) {
	out, err := goCommand(append([]string{"list", "-deps", "-json=ImportPath,Dir,Imports,Standard,Module"}, args...)...)
	if err != nil {
		return nil, err
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// modules are Go and the modules: of the binary, and those that build and test it.
func modules(top string) ([]part, error) {
	sums, err := sums(filepath.Join(top, "go.sum"))
	if err != nil {
		return nil, err
	}
	binary, err := packages("endogate/cmd/endogate")
	if err != nil {
		return nil, err
	}
	rest, err := packages("-test", "endogate/...", "tool")
	if err != nil {
		return nil, err
	}
	golang, err := standardLibrary()
	if err != nil {
		return nil, err
	}
	found := map[string]*part{golang.Name: &golang}
	folders, roots := map[string][]string{}, map[string]string{}
	module := map[string]string{} // of a package
	for i, p := range slices.Concat(binary, rest) {
		if p.Module == nil || p.Module.Main {
			continue
		}
		m := p.Module
		if m.Replace != nil {
			return nil, fmt.Errorf("%s is replaced in go.mod, which the bill does not know how to say", m.Path)
		}
		key := m.Path + "@" + m.Version
		if found[key] == nil {
			u := toBuildTest
			if i < len(binary) {
				u = inBinary
			}
			found[key] = &part{
				Name: m.Path, Version: m.Version, PURL: "pkg:golang/" + m.Path + "@" + url.PathEscape(m.Version), Use: u,
				SHA256: sums[key],
			}
		}
		module[p.ImportPath], roots[key] = key, m.Dir
		folders[key] = append(folders[key], ancestors(p.Dir, m.Dir)...)
	}
	for _, p := range binary {
		if from := found[module[p.ImportPath]]; from != nil {
			for _, imported := range p.Imports {
				if to := found[module[imported]]; to != nil && to != from && !slices.Contains(from.Needs, to.ref()) {
					from.Needs = append(from.Needs, to.ref())
				}
			}
		}
	}
	var parts []part
	for _, key := range slices.Sorted(maps.Keys(found)) {
		p := found[key]
		slices.Sort(p.Needs)
		if p.Licence == "" {
			if p.Texts, err = texts(folders[key]); err != nil {
				return nil, err
			}
			p.Licence = licence(p.Texts)
			if s, ok := stated[p.Name]; ok {
				p.Licence = s.licence
				if s.file != "" {
					b, err := os.ReadFile(filepath.Join(roots[key], s.file))
					if err != nil {
						return nil, err
					}
					p.Texts = append(p.Texts, text{s.file, tidy(string(b))})
				}
			}
		}
		parts = append(parts, *p)
	}
	return parts, nil
}

// standardLibrary is what Go itself puts into the binary: of the version that make setup brings.
func standardLibrary() (part, error) {
	root, err := goCommand("env", "GOROOT")
	if err != nil {
		return part{}, err
	}
	version, err := goCommand("list", "-m", "-f", "{{.GoVersion}}")
	if err != nil {
		return part{}, err
	}
	version = strings.TrimSpace(version)
	p := part{
		Name: "std", Version: version, PURL: "pkg:golang/std@" + version, Licence: "BSD-3-Clause", URL: "https://go.dev",
		Note: "the standard library and runtime of Go",
	}
	p.Texts, err = texts([]string{strings.TrimSpace(root)})
	return p, err
}

// sums are the SHA-256 digests of go.sum, hexadecimal, by module@version: of all files of a module (golang.org/x/mod/sumdb/dirhash, Hash1).
func sums(file string) (map[string]string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || strings.HasSuffix(fields[1], "/go.mod") {
			continue
		}
		digest, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[2], "h1:"))
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file, fields[0], err)
		}
		all[fields[0]+"@"+fields[1]] = hex.EncodeToString(digest)
	}
	return all, nil
}

// ancestors are a folder and all above it up to top.
func ancestors(dir, top string) []string {
	all := []string{dir}
	for dir != top && len(dir) > len(top) {
		dir = filepath.Dir(dir)
		all = append(all, dir)
	}
	return all
}

var isLicence = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|notice|copyright|patents|ofl|third_party)([-._].*)?$`)

// texts are the licences in folders, each once.
func texts(folders []string) ([]text, error) {
	var all []text
	slices.Sort(folders)
	for _, dir := range slices.Compact(folders) {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !isLicence.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return nil, err
			}
			t := text{e.Name(), tidy(string(b))}
			if !slices.ContainsFunc(all, func(o text) bool { return o.Content == t.Content }) {
				all = append(all, t)
			}
		}
	}
	return all, nil
}

// tidy is a text without what differs for no reader: ends of lines, blanks before them, a byte order mark.
func tidy(s string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(s, "\ufeff")) {
		b.WriteString(strings.TrimRight(line, " \t\r\n\f"))
		b.WriteByte('\n')
	}
	return strings.Trim(b.String(), "\n") + "\n"
}

// licence is what texts say, as an SPDX expression: all of them hold. Empty: they are not all known.
func licence(texts []text) string {
	var all []string
	for _, t := range texts {
		if found := licensecheck.Scan([]byte(t.Content)); found.Percent >= 75 {
			for _, m := range found.Match {
				if m.ID != "GooglePatentsFile" && !slices.Contains(all, m.ID) { // which gives more, and takes nothing
					all = append(all, m.ID)
				}
			}
		} else if !strings.HasPrefix(strings.ToUpper(t.File), "NOTICE") && !strings.HasPrefix(t.File, "PATENTS") {
			return ""
		}
	}
	slices.Sort(all)
	return strings.Join(all, " AND ")
}
