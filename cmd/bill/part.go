package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// part is somebody else's work.
type part struct {
	Name, Version string
	PURL          string // package URL; empty: it is in no registry
	URL           string
	Licence       string // an SPDX expression
	Use           use
	Note          string // what of ours holds it
	Within        string // the part that it is in; empty: in none
	SHA256        string // of what is distributed, hexadecimal
	SHA512        string // of the archive that it comes from, hexadecimal
	Needs         []string
	Texts         []text // of its licences
	Unstated      bool   // it has parts of its own that are not all listed
}

// ref names a part within the bill.
func (p part) ref() string { return cmp.Or(p.PURL, p.Name) }

type text struct{ File, Content string }

// use says how far a part gets.
type use int

const (
	inBinary    use = iota // distributed, in the binary,
	beside                 // beside it,
	inImage                // or in the container image
	toBuildTest            // not distributed
)

// maySay are the licences under which what is distributed may be: they ask for their text to come with it, at most.
var maySay = []string{
	"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "FTL", "ISC", "MIT", "MPL-2.0", "OFL-1.1", "blessing", "Zlib", "BSL-1.0",
}

// collect returns all parts, in the order of their names.
func collect() ([]part, error) {
	root, err := goCommand("env", "GOMOD")
	if err != nil {
		return nil, err
	}
	top := filepath.Dir(strings.TrimSpace(root))
	modules, err := modules(top)
	if err != nil {
		return nil, err
	}
	table, err := os.ReadFile(filepath.Join(top, "deploy", "npm.txt"))
	if err != nil {
		return nil, err
	}
	npm, err := npm(string(table))
	if err != nil {
		return nil, err
	}
	copied, err := copied(top, modules)
	if err != nil {
		return nil, err
	}
	parts := slices.Concat(modules, npm, copied)
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.Use, b.Use), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	for _, p := range parts {
		err = errors.Join(err, p.check())
	}
	return parts, err
}

// check says why a part must not be distributed as it is.
func (p part) check() error {
	if p.Licence == "" {
		return fmt.Errorf("%s %s: its licence is not known: read it, and add it to the table of stated in modules.go", p.Name, p.Version)
	}
	if p.Use == toBuildTest || p.Use == inImage {
		return nil
	}
	for _, l := range strings.Split(p.Licence, " AND ") {
		if !slices.Contains(maySay, l) {
			return fmt.Errorf("%s %s has the licence %s: what is distributed may have %s", p.Name, p.Version, l, strings.Join(maySay, ", "))
		}
	}
	if len(p.Texts) == 0 && p.Within == "" {
		return fmt.Errorf("%s %s: the text of its licence was not found", p.Name, p.Version)
	}
	return nil
}
