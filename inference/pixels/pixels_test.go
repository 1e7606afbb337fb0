package pixels

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// plain is a resize along one axis as it is defined: channel by channel, the pixels' strides apart.
func (t *Taps) plain(in []uint8, inStride, outStride, channels int) []uint8 {
	out := make([]uint8, outStride*len(t.spans))
	for i, s := range t.spans {
		for c := range channels {
			sum := int32(1) << (Fraction - 1)
			for k, w := range s.Weights {
				sum += w * int32(in[(s.First+k)*inStride+c])
			}
			out[i*outStride+c] = uint8(min(max(sum>>Fraction, 0), 255))
		}
	}
	return out
}

// anyTaps overshoot as a cubic's do, and reach at most in pixels.
func anyTaps(t *rapid.T, in int) *Taps {
	spans := make([]Span, rapid.IntRange(0, 20).Draw(t, "out"))
	for i := range spans {
		first := rapid.IntRange(0, in).Draw(t, "first")
		weights := make([]int32, rapid.IntRange(0, in-first).Draw(t, "taps"))
		left := int32(1 << Fraction)
		for i := range weights {
			weights[i] = rapid.Int32Range(-1<<Fraction/int32(4*len(weights)), 1<<Fraction/int32(len(weights))).Draw(t, "weight")
			left -= weights[i]
		}
		if len(weights) > 0 {
			weights[len(weights)/2] += left
		}
		spans[i] = Span{first, weights}
	}
	return NewTaps(in, spans)
}

func noise(n int) []uint8 {
	samples, random := make([]uint8, n), rand.New(rand.NewPCG(1, uint64(n)))
	for i := range samples {
		samples[i] = uint8(random.Uint32())
		if i%7 == 0 {
			samples[i] = 255
		}
	}
	return samples
}

func TestNarrow_asDefined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.IntRange(1, 60).Draw(t, "in")
		taps, row := anyTaps(t, in), noise(4*in)
		got := make([]uint8, 3*len(taps.spans))
		taps.Narrow(row, got)
		if want := taps.plain(row, 4, 3, 3); !bytes.Equal(got, want) {
			t.Fatalf("%v\nof %v by %v, want\n%v", got, row, taps, want)
		}
	})
}

func TestLower_asDefined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, width := rapid.IntRange(1, 30).Draw(t, "in"), rapid.IntRange(1, 150).Draw(t, "width")
		taps, rows := anyTaps(t, in), noise(in*width)
		got := make([]uint8, width*len(taps.spans))
		taps.Lower(rows, width, got)
		if want := taps.plain(rows, width, width, width); !bytes.Equal(got, want) {
			t.Fatalf("%v\nof %v by %v, want\n%v", got, rows, taps, want)
		}
	})
}

func TestTaps_looksBeforeC(t *testing.T) {
	taps := NewTaps(5, []Span{{3, []int32{1, 2}}})
	for name, tooShort := range map[string]func(){
		"row":     func() { taps.Narrow(make([]uint8, 4*5-1), make([]uint8, 3)) },
		"result":  func() { taps.Narrow(make([]uint8, 4*5), make([]uint8, 2)) },
		"rows":    func() { taps.Lower(make([]uint8, 9*5-1), 9, make([]uint8, 9)) },
		"lowered": func() { taps.Lower(make([]uint8, 9*5), 9, make([]uint8, 8)) },
		"span":    func() { NewTaps(4, []Span{{3, []int32{1, 2}}}) },
		"bright":  func() { Bright(make([]uint8, 4*5-1), 0, make([]int32, 5)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a %s that is too short was read", name)
				}
			}()
			tooShort()
		}()
	}
}

func TestBright_asDefined(t *testing.T) {
	for threshold := range 256 {
		for _, n := range []int{0, 1, 7, 8, 9, 100} {
			row, columns := noise(4*n), make([]int32, n)
			for x := range columns {
				row[4*x+x%3] = uint8(threshold + x%2) // at and just above
				columns[x] = int32(x)
			}
			bright, want := Bright(row, uint8(threshold), columns), int32(0)
			for x, got := range columns {
				is := int32(0)
				if int(max(row[4*x], row[4*x+1], row[4*x+2])) > threshold {
					is = 1
				}
				if got != int32(x)+is {
					t.Fatalf("pixel %v above %d: %d", row[4*x:4*x+3], threshold, got-int32(x))
				}
				want += is
			}
			if bright != want {
				t.Fatalf("%d of %d pixels above %d, want %d", bright, n, threshold, want)
			}
		}
	}
}
