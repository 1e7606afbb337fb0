package explain

// Map is a picture of weights, row by row. A class activation map has no negative values and is not
// normalised.
type Map struct {
	Width, Height int
	Values        []float32
}
