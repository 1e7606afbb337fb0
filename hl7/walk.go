package hl7

import (
	"fmt"
	"iter"
)

// Value is the smallest part of a segment that holds something.
type Value struct {
	Path  string // in the segment, as Get takes it: 10, 5.2, 3[2].4.1
	Field int
	Text  string // decoded
	Null  bool   // "": what was there is to be removed
}

// Values goes through what the segment holds, in order; what is empty is left out. A path says no more than it must: no
// repetition where there is one, no component of a field that has one.
func (s *Segment) Values() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		for n, field := range s.fields() {
			repetitions := s.split(n, field)
			for i, r := range repetitions {
				path := fmt.Sprint(n)
				if len(repetitions) > 1 {
					path += fmt.Sprintf("[%d]", i+1)
				}
				for v := range r.values(path, s.header() && n <= 2) {
					if v.Field = n; !yield(v) {
						return
					}
				}
			}
		}
	}
}

// values goes through those of a repetition; the delimiters of a header are one.
func (r Repetition) values(path string, whole bool) iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if whole {
			yield(Value{Path: path, Text: string(r.raw)})
			return
		}
		d := r.m.Delimiters
		_, several := r.m.part(r.raw, d.Component, 2)
		n := 0
		for component := range r.m.parts(r.raw, d.Component) {
			n++
			_, parted := r.m.part(component, d.Subcomponent, 2)
			at := path
			if several || parted {
				at = fmt.Sprintf("%s.%d", path, n)
			}
			k := 0
			for sub := range r.m.parts(component, d.Subcomponent) {
				v := Value{Path: at}
				if k++; parted {
					v.Path = fmt.Sprintf("%s.%d", at, k)
				}
				text, state := r.m.value(sub, true)
				v.Text, v.Null = text, state == Null
				if state != Empty && !yield(v) {
					return
				}
			}
		}
	}
}
