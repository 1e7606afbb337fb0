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

// judge reads events, writes what a person wants to read, and returns the drills that were told of, how long it all took, and an
// error unless everything ran and passed.
func judge(events io.Reader, w io.Writer) (drills []drill, took time.Duration, err error) {
	outputs := make(map[test][]string) // of what runs
	var order []test                   // in which they began
	var skipped []string
	var began time.Time
	passed, failed := 0, 0
	decoder := json.NewDecoder(events)
	for {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return drills, took, fmt.Errorf("verdict: not what go test -json writes: %w", err)
		}
		if began.IsZero() {
			began = e.Time
		}
		if !e.Time.IsZero() {
			took = e.Time.Sub(began)
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
				return drills, took, fmt.Errorf("verdict: drill of %s: %w", e.Test, err)
			}
			drills = append(drills, d)
		case e.Action == "skip" && e.Test != "":
			skipped = append(skipped, fmt.Sprintf("skipped: %s %s\n%s", e.Package, e.Test, strings.Join(outputs[t], "")))
			delete(outputs, t)
		case e.Action == "pass" && e.Test != "":
			delete(outputs, t)
		case e.Test == "" && (e.Action == "pass" || e.Action == "skip" || e.Action == "fail"): // the package has ended
			if e.Action == "fail" {
				failed++
			} else {
				passed++
			}
			for _, o := range order {
				if o.pkg == e.Package && (o.name != "" || e.Action == "fail") {
					_, _ = io.WriteString(w, strings.Join(outputs[o], ""))
				} else if o.pkg == e.Package {
					_, _ = io.WriteString(w, outputs[o][len(outputs[o])-1]) // ok, and how long it took
				}
			}
			order = slices.DeleteFunc(order, func(o test) bool { return o.pkg == e.Package })
		}
	}
	_, _ = io.WriteString(w, strings.Join(skipped, ""))
	switch {
	case failed > 0:
		return drills, took, fmt.Errorf("verdict: %d packages failed", failed)
	case len(skipped) > 0:
		return drills, took, fmt.Errorf("verdict: %d tests were skipped; what they lack must be installed (make setup-test)", len(skipped))
	case passed == 0:
		return drills, took, errors.New("verdict: nothing ran")
	}
	return drills, took, nil
}

func main() {
	file := flag.String("drills", "", "write what the proofs tried and saw to this `file`, if all held")
	of := flag.String("of", "", "what was tried, for its head")
	flag.Parse()
	drills, took, err := judgeAll(flag.Args(), os.Stdout)
	if err == nil && *file != "" {
		err = os.WriteFile(*file, document(drills, *of, took), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// judgeAll judges the parts of a run, each in a file; without one it is the standard input.
func judgeAll(files []string, w io.Writer) (drills []drill, took time.Duration, err error) {
	if len(files) == 0 {
		return judge(os.Stdin, w)
	}
	var errs []error
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, 0, fmt.Errorf("verdict: %w", err)
		}
		some, long, err := judge(f, w)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		drills, took = append(drills, some...), took+long
		errs = append(errs, f.Close())
	}
	return drills, took, errors.Join(errs...)
}
