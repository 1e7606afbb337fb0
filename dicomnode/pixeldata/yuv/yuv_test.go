package yuv

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var parts = map[string][2]float64{"BT.601": {0.299, 0.114}, "BT.709": {0.2126, 0.0722}, "BT.2020": {0.2627, 0.0593}, "SMPTE 240M": {0.212, 0.087}, "FCC": {0.30, 0.11}}

// defined is a pixel by ITU-T H.273, formulas 34 to 36 and 41 to 43 turned round.
func defined(red, blue, y, cb, cr float64) (rgb [3]float64) {
	y, cb, cr = (y-16)/219, (cb-128)/224, (cr-128)/224
	r, b := y+2*(1-red)*cr, y+2*(1-blue)*cb
	for i, v := range []float64{r, (y - red*r - blue*b) / (1 - red - blue), b} {
		rgb[i] = min(max(255*v, 0), 255)
	}
	return rgb
}

func TestRGBA_asDefined(t *testing.T) {
	const columns = 256
	for name, p := range parts {
		m := NewMatrix(p[0], p[1])
		samples, rgba, worst := make([]uint8, Size(columns, 2)), make([]uint8, 8*columns), 0.0
		for cb := 0; cb < 256; cb += 3 {
			for cr := 0; cr < 256; cr += 3 {
				for x := range columns {
					samples[x], samples[columns+x] = uint8(x), uint8(255-x)
				}
				for x := range columns / 2 {
					samples[2*columns+x], samples[2*columns+columns/2+x] = uint8(cb), uint8(cr)
				}
				m.RGBA(samples, columns, 2, rgba)
				for x := range 2 * columns {
					want := defined(p[0], p[1], float64(samples[x]), float64(cb), float64(cr))
					for c, v := range want {
						worst = max(worst, math.Abs(float64(rgba[4*x+c])-v))
					}
					require.Equal(t, uint8(255), rgba[4*x+3])
				}
			}
		}
		assert.Less(t, worst, 1.0, name)
	}
	black := make([]uint8, 16)
	NewMatrix(0.299, 0.114).RGBA([]uint8{16, 235, 16, 235, 128, 128}, 2, 2, black)
	assert.Equal(t, []uint8{0, 0, 0, 255, 255, 255, 255, 255, 0, 0, 0, 255, 255, 255, 255, 255}, black)
}

// However wide a picture is, each pixel is that of its own samples, and nothing is written behind it.
func TestRGBA_anySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns, rows := 2*rapid.IntRange(0, 40).Draw(t, "columns"), 2*rapid.IntRange(0, 4).Draw(t, "rows")
		samples := rapid.SliceOfN(rapid.Byte(), Size(columns, rows), Size(columns, rows)).Draw(t, "samples")
		m := NewMatrix(0.2126, 0.0722)
		rgba := make([]uint8, 4*columns*rows+16)
		m.RGBA(samples, columns, rows, rgba)
		require.Equal(t, make([]uint8, 16), rgba[4*columns*rows:])
		for i := range columns * rows {
			x, y := i%columns, i/columns
			differences := samples[columns*rows+columns*(y/2):]
			one, cb, cr := make([]uint8, 16), differences[x/2], differences[columns/2+x/2]
			m.RGBA([]uint8{samples[i], samples[i], samples[i], samples[i], cb, cr}, 2, 2, one)
			require.Equal(t, one[:4], rgba[4*i:4*i+4], "column %d row %d", x, y)
		}
	})
}

func TestRGBA_tooFew(t *testing.T) {
	m := NewMatrix(0.299, 0.114)
	assert.Panics(t, func() { m.RGBA(make([]uint8, 23), 4, 4, make([]uint8, 64)) })
	assert.Panics(t, func() { m.RGBA(make([]uint8, 24), 4, 4, make([]uint8, 63)) })
}

func BenchmarkRGBA(b *testing.B) {
	const columns, rows = 1920, 1080
	samples, rgba, m := make([]uint8, Size(columns, rows)), make([]uint8, 4*columns*rows), NewMatrix(0.2126, 0.0722)
	for b.Loop() {
		m.RGBA(samples, columns, rows, rgba)
	}
}
