package explain

// Method is a way to turn a layer's activation and gradient into a map.
type Method string

// GradCAM weights each channel of the activation with the mean of its gradient and keeps what is
// positive (Selvaraju et al. 2017, equations 1 and 2).
const GradCAM Method = "gradcam"

// methods is the table of post-processing: from activation and gradient, of shape dims, to a map N×H×W.
func methods() map[Method]func(b *builder, activation, gradient string, dims []int64) string {
	return map[Method]func(b *builder, activation, gradient string, dims []int64) string{
		GradCAM: gradCAM,
	}
}

// gradCAM does the weighted sum as a matrix product, so that one activation serves many seeds.
func gradCAM(b *builder, activation, gradient string, dims []int64) string {
	channels, cells := dims[1], size(dims[2:])
	weights := b.reshape(b.op("GlobalAveragePool", []string{gradient}), -1, 1, channels)
	flat := b.reshape(activation, -1, channels, cells)
	sum := b.op("Relu", []string{b.op("MatMul", []string{weights, flat})})
	return b.reshape(sum, append([]int64{-1}, dims[2:]...)...)
}
