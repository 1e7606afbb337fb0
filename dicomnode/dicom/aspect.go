package dicom

import (
	"image"
	"strconv"
)

// Aspect is the shape of the pixels of an image: how high and how wide one is, against the other (Pixel Aspect Ratio, PS3.3 C.7.6.3.1.7). The
// zero value: nobody says, and they are square.
type Aspect struct{ High, Wide int }

// mostOblong bounds what is believed: no device has pixels four times as long as they are wide.
const mostOblong = 4

// NewAspect is that of two numbers in their lowest terms; zero where they make none.
func NewAspect(high, wide int) Aspect {
	const most = 1 << 20
	if high < 1 || wide < 1 || high > most || wide > most || high > mostOblong*wide || wide > mostOblong*high {
		return Aspect{}
	}
	n, m := high, wide
	for m != 0 {
		n, m = m, n%m
	}
	return Aspect{high / n, wide / n}
}

// Aspect is what Pixel Aspect Ratio says; zero where it is absent or says nothing that can be.
func (a *Attributes) Aspect() Aspect {
	var sides [2]int
	texts := a.Texts(PixelAspectRatio)
	if len(texts) != len(sides) {
		return Aspect{}
	}
	for i, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return Aspect{}
		}
		sides[i] = n
	}
	return NewAspect(sides[0], sides[1])
}

// Square reports whether pixels are as high as they are wide.
func (a Aspect) Square() bool { return a.High == a.Wide }

// Texts are the values of Pixel Aspect Ratio, which is there where pixels are not square (PS3.3 table C.7-11c); else none.
func (a Aspect) Texts() []string {
	if a.Square() {
		return nil
	}
	return []string{strconv.Itoa(a.High), strconv.Itoa(a.Wide)}
}

// mostShown bounds the pixels that a shape may add to: what a header says of it must not cost more memory than the frame was allowed.
const mostShown = 1 << 25

// Shown is the size that a picture of so many pixels has in square ones: wider or higher, so that nothing of it is lost; lower or narrower
// where that would be very large.
func (a Aspect) Shown(size image.Point) image.Point {
	if a.Square() {
		return size
	}
	larger, smaller := image.Pt(scaled(size.X, a.Wide, a.High), size.Y), image.Pt(size.X, scaled(size.Y, a.High, a.Wide))
	if a.High > a.Wide {
		larger, smaller = smaller, larger
	}
	if larger.X*larger.Y > mostShown {
		return smaller
	}
	return larger
}

func scaled(side, by, of int) int { return max(1, (side*by+of/2)/of) }
