// Package bill holds what the binary is made of: a software bill of materials (CycloneDX 1.6) and the licences of others' work in
// it and beside it, with their texts. Command bill makes both; a test holds them against the code.
package bill

import (
	"bytes"
	_ "embed"
	"strconv"
)

//go:generate go run ../../bill .

// unreleased is the version that the generated bill gives the binary: it does not know which one it will go with.
const unreleased = "unreleased"

//go:embed sbom.cdx.json
var sbom []byte

// Licences is the list of third-party licences, with the texts of all that is distributed.
//
//go:embed LICENCES.txt
var Licences string

// SBOM returns the bill of materials of the binary of a version, as JSON.
func SBOM(version string) []byte {
	return bytes.Replace(sbom, []byte(strconv.Quote(unreleased)), []byte(strconv.Quote(version)), 1)
}
