// Command verdict reads what go test -json writes, prints a line for each package and the output of what failed, and
// fails when a test failed or was skipped: a run that proves something has run everything. With -drills it also writes what
// the proofs of the run tried and saw. Of a run in parts it reads their files, which are named behind the flags.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"endogate/cmd/endogate/installed"
)

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Key, Value                                string // of an attribute
	Time                                      time.Time
}

// test names a test; without a name it stands for its package.
type test struct{ pkg, name string }

// judged is what a run, or a part of one, came to.
type judged struct {
	drills         []drill
	took           time.Duration
	passed, failed map[test]bool // without a name: packages that failed, though none of their tests did
	again          []test        // that failed in one part and held in a later one
	err            error         // what no other run makes good: tests that were skipped, nothing that ran
}

// judge reads events, writes what a person wants to read, and returns what it all came to.
func judge(events io.Reader, w io.Writer) *judged {
	r := &judged{passed: make(map[test]bool), failed: make(map[test]bool)}
	outputs := make(map[test][]string) // of what runs
	var order []test                   // in which they began
	var skipped []string
	var began time.Time
	packages := 0
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			r.err = fmt.Errorf("verdict: not what go test -json writes: %w", err)
			return r
		}
		if began.IsZero() {
			began = e.Time
		}
		if !e.Time.IsZero() {
			r.took = e.Time.Sub(began)
		}
		t := test{e.Package, e.Test}
		switch {
		case e.Action == "build-output":
			_, _ = io.WriteString(w, e.Output)
		case e.Action == "output":
			if _, known := outputs[t]; !known {
				order = append(order, t)
			}
			outputs[t] = append(outputs[t], e.Output)
		case e.Action == "attr" && e.Key == installed.AttrDrill:
			d := drill{test: t}
			if err := json.Unmarshal([]byte(e.Value), &d.Drill); err != nil {
				r.err = fmt.Errorf("verdict: drill of %s: %w", e.Test, err)
				return r
			}
			r.drills = append(r.drills, d)
		case e.Action == "skip" && e.Test != "":
			skipped = append(skipped, fmt.Sprintf("skipped: %s %s\n%s", e.Package, e.Test, strings.Join(outputs[t], "")))
			delete(outputs, t)
		case e.Action == "pass" && e.Test != "":
			r.passed[t] = true
			delete(outputs, t)
		case e.Action == "fail" && e.Test != "" && !strings.Contains(e.Test, "/"):
			r.failed[t] = true
		case e.Test == "" && (e.Action == "pass" || e.Action == "skip" || e.Action == "fail"): // the package has ended
			packages++
			ended := slices.Contains(outputs[t], "FAIL\n") // not so after a panic: tests did not run
			if e.Action == "fail" && (!ended || !slices.ContainsFunc(slices.Collect(maps.Keys(r.failed)), func(f test) bool { return f.pkg == e.Package })) {
				r.failed[t] = true // it ended before its tests did, or was not built
				for _, o := range order {
					if o.pkg == e.Package && o.name != "" && outputs[o] != nil {
						r.failed[test{o.pkg, top(o.name)}] = true // at this it was
					}
				}
			}
			for _, o := range order {
				if o.pkg == e.Package && (o.name != "" || e.Action == "fail") {
					_, _ = io.WriteString(w, strings.Join(outputs[o], ""))
				} else if o.pkg == e.Package {
					_, _ = io.WriteString(w, outputs[o][len(outputs[o])-1]) // ok, and how long it took
				}
			}
			ofPackage := func(o test) bool { return o.pkg == e.Package }
			order = slices.DeleteFunc(order, ofPackage)
			maps.DeleteFunc(outputs, func(o test, _ []string) bool { return ofPackage(o) }) // others of its tests may run later
		}
	}
	_, _ = io.WriteString(w, strings.Join(skipped, ""))
	switch {
	case len(skipped) > 0:
		r.err = fmt.Errorf("verdict: %d tests were skipped; what they lack must be installed (make setup-test)", len(skipped))
	case packages == 0:
		r.err = errors.New("verdict: nothing ran")
	}
	r.drills = slices.DeleteFunc(r.drills, func(d drill) bool { return r.failed[test{d.pkg, top(d.name)}] })
	return r
}

// top is the test that a subtest belongs to.
func top(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

func main() {
	file := flag.String("drills", "", "write what the proofs tried and saw to this `file`, if all held")
	of := flag.String("of", "", "what was tried, for its head")
	flag.Parse()
	all := judgeAll(flag.Args(), os.Stdout)
	if all.err == nil && *file != "" {
		all.err = os.WriteFile(*file, document(all, *of, flag.NArg()), 0o644)
	}
	if all.err != nil {
		fmt.Fprintln(os.Stderr, all.err)
		os.Exit(1)
	}
}

// judgeAll judges the parts of a run, each in a file; without one it is the standard input. A test that failed has to hold in a later
// part, and is told of; of a test that was tried again what it told last counts.
func judgeAll(files []string, w io.Writer) *judged {
	all := &judged{failed: make(map[test]bool)}
	var errs []error
	add := func(events io.Reader) {
		r := judge(events, w)
		again := func(d drill) bool { t := test{d.pkg, top(d.name)}; return r.passed[t] }
		all.drills = append(slices.DeleteFunc(all.drills, again), r.drills...)
		all.took += r.took
		maps.DeleteFunc(all.failed, func(t test, _ bool) bool { // held by now
			if r.passed[t] {
				all.again = append(all.again, t)
			}
			return r.passed[t]
		})
		maps.Copy(all.failed, r.failed)
		errs = append(errs, r.err)
	}
	if len(files) == 0 {
		add(os.Stdin)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("verdict: %w", err))
			continue
		}
		add(f)
		errs = append(errs, f.Close())
	}
	for t := range all.failed {
		errs = append(errs, fmt.Errorf("verdict: failed: %s %s", t.pkg, t.name))
	}
	all.err = errors.Join(errs...)
	return all
}
