package explain

// Layout says how the values of an input lie, from its shape: N×C×H×W, N×H×W×C, N×C×T×H×W or N×T×C×H×W.
type Layout struct {
	Frames, Channels, Height, Width int
	ChannelsLast                    bool // N×H×W×C
	FramesFirst                     bool // N×T×C×H×W: frames are pictures of their own
}

// LayoutOf reads a shape of four or five axes. Channels are the axis of one, three or four; the first such counts, but
// four in front of one or three are frames.
func LayoutOf(shape []int64) (Layout, bool) {
	colour := func(n int64) bool { return n == 1 || n == 3 || n == 4 }
	d := make([]int, len(shape))
	for i, n := range shape {
		d[i] = int(n)
	}
	switch {
	case len(shape) == 4 && (colour(shape[1]) || !colour(shape[3])):
		return Layout{Frames: 1, Channels: d[1], Height: d[2], Width: d[3]}, true
	case len(shape) == 4:
		return Layout{Frames: 1, Channels: d[3], Height: d[1], Width: d[2], ChannelsLast: true}, true
	case len(shape) == 5 && (!colour(shape[2]) || colour(shape[1]) && (shape[1] != 4 || shape[2] == 4)):
		return Layout{Frames: d[2], Channels: d[1], Height: d[3], Width: d[4]}, true
	case len(shape) == 5:
		return Layout{Frames: d[1], Channels: d[2], Height: d[3], Width: d[4], FramesFirst: true}, true
	}
	return Layout{}, false
}
