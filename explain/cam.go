package explain

// Method is a way to turn a layer's activation and gradient into a map.
type Method string

// GradCAM weights each channel of the activation with the mean of its gradient and keeps what is
// positive (Selvaraju et al. 2017, equations 1 and 2).
const GradCAM Method = "gradcam"

// methods is the table of post-processing: from a layer's activation and gradient to a map S×H×W.
func methods() map[Method]func(w *walk, activation, gradient string) string {
	return map[Method]func(w *walk, activation, gradient string) string{
		GradCAM: gradCAM,
	}
}

// gradCAM does the weighted sum as a matrix product, so that one activation serves many seeds.
func gradCAM(w *walk, activation, gradient string) string {
	dims := w.shape(activation)
	channels, cells := dims[1], size(dims[2:])
	mean := w.flat[gradient]
	if mean == "" {
		mean = w.op("GlobalAveragePool", []string{gradient})
	}
	weights := w.reshape(mean, -1, 1, channels)
	flat := w.reshape(activation, -1, channels, cells)
	sum := w.op("Relu", []string{w.op("MatMul", []string{weights, flat})})
	return w.reshape(sum, append([]int64{-1}, dims[2:]...)...)
}
