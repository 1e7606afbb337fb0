package draft

// Quality is how well something can be seen in a frame.
type Quality struct {
	Sharpness float64 // 0..1: of the picture's edges
	Exposure  float64 // 0..1: the part of the picture that is neither black nor blown out
	Hash      uint64  // of the picture's coarse structure: alike frames differ in few bits
	Colours   [64]uint8
}
