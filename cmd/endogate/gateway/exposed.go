package gateway

import (
	"fmt"
	"io/fs"
	"os"

	"endogate/configs"
)

// Exposed says what any user of this machine can read or change that only the gateway's user is to: secrets, and the data folder. What is
// not there is not its business.
func Exposed(cfg configs.Config) []error {
	var all []error
	see := func(key, path string, others fs.FileMode, can string) {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&others != 0 {
			all = append(all, fmt.Errorf("%s: every user of this machine can %s %s: chmod o= %[3]s", key, can, path))
		}
	}
	see("data_dir", cfg.DataDir, 0o002, "write to")
	for _, f := range cfg.SecretFiles() {
		see(f.Key, f.Path, 0o006, "read or change")
	}
	return all
}
