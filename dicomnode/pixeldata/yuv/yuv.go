// Package yuv makes RGB of what video is decoded to: brightness of every pixel, and colour differences of every two by two. It is in C, as
// Go's compiler does one sample at a time.
package yuv

/*
#cgo CFLAGS: -O3 -Wall
#include "yuv.h"
*/
import "C"

import (
	"math"
	"unsafe"
)

// Matrix is how colours are coded.
type Matrix struct{ of C.matrix }

// NewMatrix is that of which red and blue have these parts of brightness (ITU-T H.273, 8.3), with samples of eight bits in the narrow range:
// brightness 16 to 235, differences 16 to 240.
func NewMatrix(red, blue float64) Matrix {
	factor := func(of float64) C.int16_t { return C.int16_t(math.Round(of * 255 / 224 * (1 << 13))) }
	green := 1 - red - blue
	return Matrix{C.matrix{
		cr_red: factor(2 * (1 - red)), cb_blue: factor(2 * (1 - blue)),
		cr_green: factor(-2 * (1 - red) * red / green), cb_green: factor(-2 * (1 - blue) * blue / green),
	}}
}

// Size is how many bytes the samples of a picture take, whose sides are even.
func Size(columns, rows int) int { return columns * rows * 3 / 2 }

// RGBA makes a picture of samples: rows of brightness, and then of each two rows one that has differences in blue, and behind them in red. The
// four pixels of a difference have the same. Each channel is at most one off what is defined.
func (m Matrix) RGBA(samples []uint8, columns, rows int, rgba []uint8) {
	samples, rgba = samples[:Size(columns, rows)], rgba[:4*columns*rows] // C does not look
	for y := range rows {
		differences := samples[columns*rows+columns*(y/2):]
		C.row(m.of, at(samples[columns*y:]), at(differences), at(differences[columns/2:]), C.int32_t(columns), at(rgba[4*columns*y:]))
	}
}

func at(s []uint8) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(s)) }
