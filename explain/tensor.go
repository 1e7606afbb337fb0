package explain

// Tensor is float32 in row-major order.
type Tensor struct {
	Shape  []int64
	Values []float32
}
