// Package pixels does to rows of 8-bit pixels what takes longest in preparing a frame. It is in C, as Go's compiler does one sample at a time.
package pixels

/*
#cgo CFLAGS: -O3 -Wall
#include "pixels.h"
*/
import "C"

import "unsafe"

// Fraction is the number of bits behind the point of a weight: 32, less 8 for the sample and 2 for overshoot, as in PIL.
const Fraction = 32 - 8 - 2

// Span is what one pixel of a resized row is made of: Weights[i] is that of input pixel First+i, in fixed point of Fraction bits. Weights add up
// to 1, and not to more than 2 when their signs are dropped.
type Span struct {
	First   int
	Weights []int32
}

// Taps are the weights of a resize along one axis.
type Taps struct {
	in     int
	spans  []Span
	quads  int     // groups of four weights that the longest span takes
	firsts []int32 // input pixel of the first weight in halves
	halves []int16 // of each quad its upper halves 0 and 1 four times, its lower halves 0 and 1 so, and the same of 2 and 3
}

// NewTaps are those that make one pixel for each span of in pixels, in which the spans lie.
func NewTaps(in int, spans []Span) *Taps {
	t := &Taps{in: in, spans: spans, firsts: make([]int32, len(spans))}
	for _, s := range spans {
		_ = make([]struct{}, in)[s.First : s.First+len(s.Weights)]
		t.quads = max(t.quads, (len(s.Weights)+3)/4)
	}
	const perQuad, low = 32, Fraction / 2
	t.halves = make([]int16, perQuad*t.quads*len(spans))
	for x, s := range spans {
		first := max(min(s.First, in-4*t.quads), 0)
		t.firsts[x] = int32(first)
		for i, w := range s.Weights {
			at := s.First - first + i
			quad := t.halves[perQuad*(t.quads*x+at/4):][16*(at%4/2):]
			for c := range 4 {
				quad[2*c+at%2], quad[8+2*c+at%2] = int16(w>>low), int16(w&(1<<low-1))
			}
		}
	}
	return t
}

// Narrow resizes a row of RGBA to a row of RGB.
func (t *Taps) Narrow(rgba, rgb []uint8) {
	rgba, rgb = rgba[:4*t.in], rgb[:3*len(t.spans)] // C does not look
	if len(rgba) < 16*t.quads {
		rgba = append(make([]uint8, 0, 16*t.quads), rgba...)[:16*t.quads]
	}
	C.narrow(samples(rgba), words(t.firsts), C.int32_t(len(t.spans)), (*C.int16_t)(unsafe.SliceData(t.halves)), C.int32_t(t.quads), samples(rgb))
}

// Lower resizes rows of width samples, one behind the other, to one for each span.
func (t *Taps) Lower(rows []uint8, width int, out []uint8) {
	rows, out = rows[:width*t.in], out[:width*len(t.spans)]
	for y, s := range t.spans {
		C.lower(samples(rows[width*s.First:]), words(s.Weights), C.int32_t(len(s.Weights)), C.int32_t(width), samples(out[width*y:]))
	}
}

// Bright adds one to columns for each pixel of a row of RGBA of which red, green or blue is above threshold, and returns how many there are.
func Bright(rgba []uint8, threshold uint8, columns []int32) int32 {
	rgba = rgba[:4*len(columns)]
	return int32(C.bright(samples(rgba), C.int32_t(len(columns)), C.uint8_t(threshold), words(columns)))
}

func samples(s []uint8) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(s)) }

func words(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.SliceData(s)) }
