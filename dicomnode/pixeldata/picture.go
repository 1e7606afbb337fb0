package pixeldata

import (
	"encoding/binary"
	"image"
	"image/color"
)

// picture turns one frame of samples, Little Endian and laid out as a native frame is (PS3.3 C.7.6.3.1.3),
// into RGBA. It does not keep raw.
func (p *pixels) picture(pace pace, raw []byte) (*image.RGBA, error) {
	img := image.NewRGBA(image.Rect(0, 0, p.columns, p.rows))
	draw := p.colored
	switch {
	case p.palette != nil:
		draw = p.indexed
	case p.samples == 1:
		draw = p.gray
	case p.photometric == "YBR_FULL_422":
		draw = p.shared
	}
	raw, err := p.reduce(pace, raw)
	if err != nil {
		return nil, err
	}
	return img, pace.bands(p.rows*p.columns, func(from, to int) { draw(img, raw, from, to) })
}

// at returns the stored bits of sample i.
func (p *pixels) at(raw []byte, i int) int {
	v := 0
	if p.allocated == 16 {
		v = int(binary.LittleEndian.Uint16(raw[2*i:]))
	} else {
		v = int(raw[i])
	}
	return v >> (p.high + 1 - p.stored) & (1<<p.stored - 1)
}

// reduce brings the samples of a colour frame to 8 bits each.
func (p *pixels) reduce(pace pace, raw []byte) ([]byte, error) {
	if p.samples == 1 || p.allocated == 8 && p.stored == 8 && !p.signed {
		return raw, nil
	}
	table := p.levels()
	out := make([]byte, len(raw)/p.bytes())
	return out, pace.bands(len(out), func(from, to int) {
		for i := from; i < to; i++ {
			out[i] = table[p.at(raw, i)]
		}
	})
}

func (p *pixels) gray(img *image.RGBA, raw []byte, from, to int) {
	table := p.levels()
	for i := from; i < to; i++ {
		v := table[p.at(raw, i)]
		set(img, i, v, v, v)
	}
}

func (p *pixels) indexed(img *image.RGBA, raw []byte, from, to int) {
	for i := from; i < to; i++ {
		value := p.at(raw, i)
		if p.signed && value >= 1<<(p.stored-1) {
			value -= 1 << p.stored
		}
		c := p.palette.at(value)
		set(img, i, c[0], c[1], c[2])
	}
}

// colored is for three samples a pixel, in either planar configuration.
func (p *pixels) colored(img *image.RGBA, b []byte, from, to int) {
	n := p.rows * p.columns
	pixel, sample := 3, 1
	if p.planar {
		pixel, sample = 1, n
	}
	for i := from; i < to; i++ {
		x, y, z := b[i*pixel], b[i*pixel+sample], b[i*pixel+2*sample]
		if p.photometric == "YBR_FULL" {
			x, y, z = color.YCbCrToRGB(x, y, z)
		}
		set(img, i, x, y, z)
	}
}

// shared is for YBR_FULL_422: Y1 Y2 Cb Cr for every two pixels.
func (p *pixels) shared(img *image.RGBA, b []byte, from, to int) {
	for i := from; i < to; i++ {
		group := b[i/2*4:][:4]
		r, g, bl := color.YCbCrToRGB(group[i%2], group[2], group[3])
		set(img, i, r, g, bl)
	}
}

func set(img *image.RGBA, i int, r, g, b byte) {
	px := img.Pix[4*i : 4*i+4 : 4*i+4]
	px[0], px[1], px[2], px[3] = r, g, b, 0xFF
}
