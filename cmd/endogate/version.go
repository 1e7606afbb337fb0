package main

import (
	"fmt"
	"io"

	"endogate/cmd/endogate/bill"
	"endogate/cmd/endogate/gateway"
)

// version is the release and commit what it was built from, set by the linker: what the go command would find out itself depends on how
// the sources came to the machine, and the same sources are to give the same binary.
var version, commit = "dev", ""

type versionCmd struct {
	SBOM     bool `name:"sbom" help:"Print the software bill of materials: CycloneDX, as JSON."`
	Licences bool `help:"Print the licences of others' work, with their texts."`
}

func (v versionCmd) Run(tty console) error {
	switch {
	case v.SBOM:
		_, err := tty.out.Write(bill.SBOM(build().Version))
		return err
	case v.Licences:
		_, err := io.WriteString(tty.out, bill.Licences)
		return err
	}
	fmt.Fprintln(tty.out, "endogate", build().Version)
	return nil
}

// build says what this binary is.
func build() gateway.Build {
	b := gateway.Build{Version: version, Commit: commit}
	if version == "dev" && len(b.Commit) >= 12 {
		b.Version += "-" + b.Commit[:12]
	}
	return b
}
