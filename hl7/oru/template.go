package oru

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are what a receiver wants, and who sends to it.
type Options struct {
	Destination string // its name in the configuration: control IDs are by it
	Institution string // the sender's: MSH-4
	Application string // the receiver's: MSH-5
	Facility    string // MSH-6
	Location    *time.Location

	Rows     []string // kinds of OBX, in their order; none: the first of Rows
	Statuses Codes    // OBR-25; one that is empty is as in DefaultStatuses
	Results  Codes    // OBX-11; DefaultResults
	Template []Override
}

func (o Options) location() *time.Location {
	if o.Location == nil {
		return time.UTC
	}
	return o.Location
}

// Codes are those of the standings of a report.
type Codes struct{ Draft, Preliminary, Final, Correction, Withdrawn string }

// DefaultStatuses are of table 0123: R is stored and not yet verified, where P would say that a person has verified it
// as preliminary. A receiver that takes R for a deletion gets another one by configuration.
var DefaultStatuses = Codes{Draft: "R", Preliminary: "P", Final: "F", Correction: "C", Withdrawn: "X"}

// DefaultResults are of table 0085. W: it was wrong, and is taken back.
var DefaultResults = Codes{Draft: "R", Preliminary: "P", Final: "F", Correction: "C", Withdrawn: "W"}

// or fills c up.
func (c Codes) or(d Codes) Codes {
	for i, code := range c.all() {
		if *code == "" {
			*code = *d.all()[i]
		}
	}
	return c
}

func (c *Codes) all() []*string {
	return []*string{&c.Draft, &c.Preliminary, &c.Final, &c.Correction, &c.Withdrawn}
}

// Override is a field that a receiver wants otherwise.
type Override struct {
	Field string // OBR-24, or pdf/OBX-5 of a kind of row
	Value string // template; empty: the field is left empty
}

// Fault is what is wrong with an option.
type Fault struct{ Key, What string }

// Error names the option.
func (f Fault) Error() string { return f.Key + ": " + f.What }

// Writer writes messages for one receiver.
type Writer struct {
	o        Options
	segments []segment
	rows     []segment
}

// segment is a Segment or Row with its templates read.
type segment struct {
	name, row string
	optional  bool
	fields    []field
	each      func(*scope) []scope
}

type field struct {
	number int
	value  template
}

// template is text, with values between.
type template []part

type part struct {
	literal string
	value   *Value
}

// NewWriter reads the options. The error joins a Fault for each that is wrong.
func NewWriter(o Options) (*Writer, error) {
	var errs []error
	o.Statuses, o.Results = o.Statuses.or(DefaultStatuses), o.Results.or(DefaultResults)
	errs = append(errs, o.Statuses.check("statuses"), o.Results.check("results"))
	overrides := map[string]Override{}
	keys := map[string]string{}
	for i, t := range o.Template {
		key := fmt.Sprintf("template[%d].field", i)
		if _, twice := overrides[t.Field]; twice {
			errs = append(errs, Fault{key, fmt.Sprintf("%q is there twice", t.Field)})
		}
		overrides[t.Field], keys[t.Field] = t, fmt.Sprintf("template[%d]", i)
	}
	w := &Writer{o: o}
	read := func(name, row string, fields []Field) []field {
		var all []field
		prefix := name + "-"
		if row != "" {
			prefix = row + "/" + prefix
		}
		fields = slices.Clone(fields)
		for path := range overrides { // fields that are usually empty
			if n, err := strconv.Atoi(strings.TrimPrefix(path, prefix)); err == nil && strings.HasPrefix(path, prefix) && n > 0 && n < 100 &&
				!slices.ContainsFunc(fields, func(f Field) bool { return f.Number == n }) {
				fields = append(fields, Field{Number: n, fixed: name == "MSH" && n <= 2})
			}
		}
		slices.SortFunc(fields, func(a, b Field) int { return a.Number - b.Number })
		for _, f := range fields {
			path := prefix + strconv.Itoa(f.Number)
			t, changed := overrides[path]
			if changed {
				f.Value = t.Value
			}
			if changed && f.fixed {
				errs = append(errs, Fault{keys[path] + ".field", fmt.Sprintf("%s is not for a template: %s", path, fixedWhy(f.Number, name))})
			}
			value, err := parse(f.Value, row)
			if err != nil {
				errs = append(errs, Fault{keys[path] + ".value", err.Error()})
			}
			delete(overrides, path)
			all = append(all, field{f.Number, value})
		}
		return all
	}
	for _, s := range Segments {
		w.segments = append(w.segments, segment{name: s.Name, optional: s.Optional, fields: read(s.Name, "", s.Fields)})
	}
	rows := map[string]segment{}
	for _, r := range Rows {
		rows[r.Name] = segment{name: "OBX", row: r.Name, fields: read("OBX", r.Name, r.Fields), each: r.each}
	}
	names := o.Rows
	if len(names) == 0 {
		for _, r := range Rows[:defaultRows] {
			names = append(names, r.Name)
		}
	}
	for i, name := range names {
		row, ok := rows[name]
		switch {
		case !ok:
			errs = append(errs, Fault{fmt.Sprintf("rows[%d]", i), fmt.Sprintf("%q; write some of %s", name, strings.Join(rowNames(), ", "))})
		case slices.Contains(names[:i], name):
			errs = append(errs, Fault{fmt.Sprintf("rows[%d]", i), fmt.Sprintf("%q is there twice", name)})
		}
		w.rows = append(w.rows, row)
	}
	for _, path := range slices.Sorted(maps.Keys(overrides)) {
		if name, number, ok := strings.Cut(path, "-"); ok && zSegment.MatchString(name) { // of the site's own, at the end
			n, err := strconv.Atoi(number)
			value, badValue := parse(overrides[path].Value, "")
			if err = errors.Join(err, badValue); err != nil || n < 1 || n > 99 {
				errs = append(errs, Fault{keys[path] + ".field", fmt.Sprintf("%q; write it as ZDS-1, with a value that can stand there", path)})
			}
			w.addZ(name, field{n, value})
			continue
		}
		errs = append(errs, Fault{keys[path] + ".field", fmt.Sprintf("%q is no field; write OBR-24, pdf/OBX-5 or ZDS-1", path)})
	}
	return w, errors.Join(errs...)
}

var zSegment = regexp.MustCompile(`^Z[A-Z0-9]{2}$`)

func (w *Writer) addZ(name string, f field) {
	for i := range w.segments {
		if w.segments[i].name == name {
			w.segments[i].fields = append(w.segments[i].fields, f)
			return
		}
	}
	w.segments = append(w.segments, segment{name: name, fields: []field{f}})
}

// fixedWhy says why a field is as it is.
func fixedWhy(number int, segment string) string {
	switch {
	case segment == "MSH":
		return "delivery hangs on it"
	case segment == "OBR" && number == 25:
		return "use statuses"
	case segment == "OBX" && number == 11:
		return "use results"
	case segment == "OBX" && number == 5:
		return "a text says first whether it is verified"
	case number == 32, number == 16:
		return "nobody is named who has not signed"
	}
	return "the gateway numbers and dates it"
}

func rowNames() (names []string) {
	for _, r := range Rows {
		names = append(names, r.Name)
	}
	return names
}

// resultStatuses are the codes of HL7 tables 0123 (of a report) and 0085 (of its results).
const resultStatuses = "ABCDFINOPRSUVWXYZ"

// check holds codes to their tables, and those of reports that nobody has verified to what does not say otherwise.
func (c Codes) check(key string) error {
	var errs []error
	names := []string{"draft", "preliminary", "final", "correction", "withdrawn"}
	for i, code := range c.all() {
		switch {
		case len(*code) != 1 || !strings.Contains(resultStatuses, *code):
			errs = append(errs, Fault{key + "." + names[i], fmt.Sprintf("%q; write a code of HL7 table 0123 or 0085, such as R, P, F, C, X or W", *code)})
		case names[i] != "final" && names[i] != "correction" && strings.Contains("FC", *code):
			errs = append(errs, Fault{key + "." + names[i], *code + " says that the report is final; write another code"})
		}
	}
	return errors.Join(errs...)
}

// parse reads a template.
func parse(text, row string) (template, error) {
	var t template
	for rest := text; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.ContainsAny(literal, "|}") || strings.ContainsFunc(literal, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return nil, fmt.Errorf("%q has a character that cannot stand there: |, } or a control character", text)
		}
		t = append(t, part{literal: literal})
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		i := slices.IndexFunc(Values, func(v Value) bool { return v.Name == name && v.visible(row) })
		if !closed || i < 0 {
			return nil, fmt.Errorf("{%s} is no value; there are %s", name, strings.Join(valueNames(row), ", "))
		}
		t, rest = append(t, part{value: &Values[i]}), after
	}
	return t, nil
}

func valueNames(row string) (names []string) {
	for _, v := range Values {
		if v.visible(row) {
			names = append(names, v.Name)
		}
	}
	return names
}

// render is t about s, and whether a value of it is known.
func (t template) render(s scope) (text string, known bool) {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.literal)
		if p.value != nil {
			value := p.value.of(s)
			known = known || value != ""
			b.WriteString(value)
		}
	}
	return trimmed(b.String()), known
}

// trimmed leaves out delimiters after which nothing comes, of each repetition.
func trimmed(text string) string {
	repetitions := strings.Split(text, "~")
	for i, r := range repetitions {
		components := strings.Split(r, "^")
		for k, c := range components {
			components[k] = strings.TrimRight(c, "&")
		}
		repetitions[i] = strings.TrimRight(strings.Join(components, "^"), "^")
	}
	return strings.TrimRight(strings.Join(repetitions, "~"), "~")
}
