package explain

// A convolution of 3×3 taps over many channels takes a quarter of the products by Winograd's minimal filtering (Lavin and
// Gray 2016, F(4×4, 3×3)): places in tiles of 4×4, each from 6×6 that overlap; tile and kernel are each transformed, multiplied element by
// element, which over the channels is one matrix product for each of 36 elements, and transformed back. In single
// precision that is right to a few 1e-5 of the greatest value. The runtime transforms the kernels when it loads.

const (
	winogradTile  = 4
	winogradReach = winogradTile + 2
)

var (
	winogradInput = [][]float32{ // Bᵀ, by 6 places
		{4, 0, -5, 0, 1, 0}, {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0}, {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1},
	}
	winogradKernel = [][]float32{ // G, by 3 taps
		{1. / 4, 0, 0}, {-1. / 6, -1. / 6, -1. / 6}, {-1. / 6, 1. / 6, -1. / 6}, {1. / 24, 1. / 12, 1. / 6}, {1. / 24, -1. / 12, 1. / 6}, {0, 0, 1},
	}
	winogradOutput = [][]float32{ // Aᵀ, by 6 products
		{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1},
	}
)

// winograd is the gradient of a convolution by minimal filtering; false where the transforms would cost more than they save:
// they are by channel and place, the products by pair of channels and place. Relevance does without: it has several
// kernels of each layer, and their transforms would be in memory.
func (w *walk) winograd(v window, dy, weight string, x, y []int64, group int64) (string, bool) {
	const side = winogradReach * winogradReach
	if !w.g.single || w.variant.other != nil || len(x) != 4 || group != 1 || x[2]%winogradTile != 0 || x[3]%winogradTile != 0 {
		return "", false
	}
	for i := range v.kernel {
		if v.kernel[i] != 3 || v.strides[i] != 1 || v.dilations[i] != 1 || v.begin[i] != 1 || v.end[i] != 1 {
			return "", false
		}
	}
	from, to, high, wide := y[1], x[1], x[2]/winogradTile, x[3]/winogradTile
	if min(from, to) < 128 || from*to < 128*256 || high*wide < 32 {
		return "", false
	}
	kernel := w.op("Transpose", []string{weight}, intsAttr("perm", 2, 3, 1, 0))
	kernel = w.op("MatMul", []string{w.squared(winogradKernel, true, side, 9), w.reshape(kernel, 9, to*from)})
	kernel = w.reshape(kernel, side, to, from)

	tiles := w.op("Conv", []string{w.reshape(dy, from, 1, x[2], x[3]), w.squared(winogradInput, false, side, 1, winogradReach, winogradReach)},
		intsAttr("kernel_shape", winogradReach, winogradReach), intsAttr("strides", winogradTile, winogradTile), intsAttr("pads", 1, 1, 1, 1))
	tiles = w.op("Transpose", []string{tiles}, intsAttr("perm", 1, 0, 2, 3))
	products := w.op("MatMul", []string{kernel, w.reshape(tiles, side, from, high*wide)})
	places := w.op("MatMul", []string{w.squared(winogradOutput, false, winogradTile*winogradTile, side), w.reshape(products, side, to*high*wide)})
	places = w.reshape(places, winogradTile, winogradTile, to, high, wide)
	places = w.op("Transpose", []string{places}, intsAttr("perm", 2, 3, 0, 4, 1))
	return w.reshape(places, 1, to, x[2], x[3]), true
}

// squared is a transform along both axes of a square: the product of the matrix with itself by rows and columns; of a kernel that is
// rotated by 180° where asked for.
func (w *walk) squared(m [][]float32, rotated bool, dims ...int64) string {
	var v []float32
	for _, a := range m {
		for _, b := range m {
			for i := range a {
				for j := range b {
					if rotated {
						v = append(v, a[len(a)-1-i]*b[len(b)-1-j])
					} else {
						v = append(v, a[i]*b[j])
					}
				}
			}
		}
	}
	return w.floats(dims, v...)
}
