package main

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"endogate/cmd/endogate/installed"
)

// drill is what a test told of.
type drill struct {
	test
	installed.Drill
}

// document is docs/drills.md: a line for each drill of a run in which all held.
func document(drills []drill, of string, took time.Duration) []byte {
	slices.SortStableFunc(drills, func(a, b drill) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Drills

What `+"`make drill`"+` tried on %s, in %s on %d processor cores, and what it saw. The file is written only when every test has
held; `+"`make test`"+` does the same in small. *Kept* is what was acknowledged or else had to be kept, counted at the end; *lost* and *twice* are
of it. Memory is the resident memory of the process that was tried, before and at most, looked at twenty times a second: of processes that are killed, of all
one after the other; of what has no process of its own, of the test's, with the test and what runs beside it.

| tried | kept | lost | twice | memory, MiB | by |
|---|--:|--:|--:|--:|---|
`, of, took.Round(time.Minute), runtime.NumCPU())
	for _, d := range drills {
		memory := ""
		if d.Idle > 0 {
			memory = fmt.Sprintf("%d → %d", d.Idle>>10, d.Peak>>10)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s | `%s` %s |\n", d.Tried, d.Kept, d.Lost, d.Twice, memory, strings.TrimPrefix(d.pkg, "endogate/"), d.name)
	}
	return b.Bytes()
}
