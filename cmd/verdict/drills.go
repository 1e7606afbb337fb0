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
func document(all *judged, of string, parts int) []byte {
	took := all.took.Round(time.Minute).String()
	if parts > 1 {
		took = fmt.Sprintf("%d parts of %s together, some beside others", parts, took)
	}
	slices.SortStableFunc(all.drills, func(a, b drill) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
	var b bytes.Buffer
	fmt.Fprintf(&b, `# Drills

What `+"`make drill`"+` tried on %s, in %s on %d processor cores, and what it saw. The file is written only when every test has
held; `+"`make test`"+` does the same in small. *Kept* is what was acknowledged or else had to be kept, counted at the end; *lost* and *twice* are
of it. Memory is the resident memory of the process that was tried, before and at most, looked at twenty times a second: of processes that are killed, of all
one after the other; of what has no process of its own, of the test's, with the test and what runs beside it.
%s
| tried | kept | lost | twice | memory, MiB | by |
|---|--:|--:|--:|--:|---|
`, of, took, runtime.NumCPU(), failedAtFirst(all.again))
	for _, d := range all.drills {
		memory := ""
		if d.Idle > 0 {
			memory = fmt.Sprintf("%d → %d", d.Idle>>10, d.Peak>>10)
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s | `%s` %s |\n", d.Tried, d.Kept, d.Lost, d.Twice, memory, strings.TrimPrefix(d.pkg, "endogate/"), d.name)
	}
	return b.Bytes()
}

// failedAtFirst tells of the tests that held only when they were tried again.
func failedAtFirst(again []test) string {
	var names []string
	for _, t := range again {
		names = append(names, fmt.Sprintf("`%s` %s", strings.TrimPrefix(t.pkg, "endogate/"), t.name))
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return "\nFailed at first, and held when tried again with what was at fault mended: " + strings.Join(names, ", ") + ".\n"
}
