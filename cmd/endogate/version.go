package main

import (
	"fmt"
	"runtime/debug"
)

// version is the release, set by the linker; a build without it says which commit it is from.
var version = "dev"

type versionCmd struct{}

func (versionCmd) Run(tty console) error {
	fmt.Fprintln(tty.out, "endogate", buildVersion())
	return nil
}

func buildVersion() string {
	if commit := buildCommit(); version == "dev" && len(commit) >= 12 {
		return version + "-" + commit[:12]
	}
	return version
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
