// Command bill makes the software bill of materials (CycloneDX 1.6, ECMA-424) and the list of third-party licences: of the Go modules
// in the binary, of what others' work is copied into it, of the ONNX Runtime library beside it, and of what builds and tests it.
// It asks the go command and reads the licences in the modules, and needs no network. Given a list of Debian packages, as
// dpkg-query -W prints them, it makes the bill of a container image that has those too.
//
//	bill FOLDER [VERSION DEBIAN-PACKAGES]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bill:", err)
		os.Exit(1)
	}
}

// Names of the two files, and the version of a binary that is not made yet: package bill puts the right one in its place.
const (
	unreleased   = "unreleased"
	sbomFile     = "sbom.cdx.json"
	licencesFile = "LICENCES.txt"
)

func run(args []string) error {
	var version, packages string
	switch len(args) {
	case 1:
		version = unreleased
	case 3:
		version, packages = args[1], args[2]
	default:
		return errors.New("usage: bill FOLDER [VERSION DEBIAN-PACKAGES]")
	}
	parts, err := collect()
	if err != nil {
		return err
	}
	if packages != "" {
		list, err := os.ReadFile(packages)
		if err != nil {
			return err
		}
		parts = append(parts, debian(string(list))...)
	}
	var sbom, licences bytes.Buffer
	if err := errors.Join(writeSBOM(&sbom, version, parts), writeLicences(&licences, parts)); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(args[0], sbomFile), sbom.Bytes(), 0o644),
		os.WriteFile(filepath.Join(args[0], licencesFile), licences.Bytes(), 0o644),
	)
}
