package admin

import (
	"fmt"
	"strconv"
	"strings"
)

// Question is why a model sees a class in a frame. What is left empty the gateway chooses: the only model, the most probable
// class, and the layer and the method of the model's manifest.
type Question struct {
	Model, Class, Layer, Method string
	Against                     string // why the class rather than this one
	Digest                      string // of the model, where no other version is meant; else empty

	As      Form    // how the map is given
	Colours string  // of the picture: a colour map's name; empty: the configuration's
	Opacity float64 // of the map in the picture; below 0: the configuration's

	// What if the frame were another: boxes of it that are made black, in pixels (left, top, right, bottom), and the dark border cut off.
	Black      [][4]int
	CropBorder bool
}

// Form is how a map is given.
type Form string

// The forms.
const (
	AsPicture Form = ""     // over its frame with a legend, and as it was computed
	AsMap     Form = "map"  // laid over its frame as numbers, for who draws it himself
	AsNone    Form = "none" // none is made: the probabilities alone
)

// maxBlack bounds the boxes of a question.
const maxBlack = 16

// parseQuestion reads what is asked of a frame, of which the answer may have one of some forms besides the first.
func parseQuestion(raw string, forms []Form) (Question, error) {
	q, err := parse(raw)
	if err != nil {
		return Question{}, err
	}
	question := Question{
		Model: q.text("model"), Class: q.textOf("class", maxName), Layer: q.textOf("layer", maxName), Method: q.text("method"), Against: q.textOf("against", maxName),
		Black: q.boxes("black"), CropBorder: oneOf(q, "border", []string{"crop", "keep"}) == "crop", Opacity: -1,
	}
	switch {
	case len(forms) > 0:
		question.As = oneOf(q, "as", forms)
	default:
		question.Colours = q.text("colours")
		if percent := q.number("opacity", -1, 0, 100); percent >= 0 {
			question.Opacity = float64(percent) / 100
		}
	}
	return question, q.done()
}

// boxes are rectangles in pixels, each as left,top,right,bottom.
func (q *query) boxes(key string) (all [][4]int) {
	q.asked = append(q.asked, key)
	if len(q.values[key]) > maxBlack {
		q.fail(key, fmt.Sprintf("more than %d boxes", maxBlack))
		return nil
	}
	for _, text := range q.values[key] {
		edges := strings.Split(text, ",")
		var box [4]int
		if len(edges) != len(box) {
			q.fail(key, "a box is left,top,right,bottom in pixels of the frame")
			return nil
		}
		for i, edge := range edges {
			v, err := strconv.Atoi(edge)
			if err != nil || v < 0 || v > maxSide {
				q.fail(key, fmt.Sprintf("an edge is a whole number from 0 to %d", maxSide))
				return nil
			}
			box[i] = v
		}
		if box[0] >= box[2] || box[1] >= box[3] {
			q.fail(key, "a box without an inside")
			return nil
		}
		all = append(all, box)
	}
	return all
}

// maxSide bounds the edges of a box: as many rows or columns as a frame may have (PS3.3 C.7.6.3, US).
const maxSide = 1<<16 - 1
