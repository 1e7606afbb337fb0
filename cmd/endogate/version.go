package main

import (
	"fmt"
	"runtime/debug"

	"endogate/cmd/endogate/gateway"
)

// version is the release, set by the linker; a build without it says which commit it is from.
var version = "dev"

type versionCmd struct{}

func (versionCmd) Run(tty console) error {
	fmt.Fprintln(tty.out, "endogate", build().Version)
	return nil
}

// build says what this binary is.
func build() gateway.Build {
	b := gateway.Build{Version: version, Commit: buildCommit()}
	if version == "dev" && len(b.Commit) >= 12 {
		b.Version += "-" + b.Commit[:12]
	}
	return b
}

// buildCommit is the commit the binary was built from, empty where the build does not know.
func buildCommit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
