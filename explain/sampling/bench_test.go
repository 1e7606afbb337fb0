package sampling_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/explain/sampling"
)

// What the methods themselves cost beside the network, which here answers at once: by run of a 3×224×224 input.
func BenchmarkMethods(b *testing.B) {
	p := still(3, 224, 224)
	x, base := noise(1, p.Size()), filled(p.Size(), 0)
	gradients := noise(2, 8*p.Size())
	net := sampling.Network{
		Picture: p, Batch: 8,
		Logits: func(_ context.Context, _ []float32, n int) ([]float32, error) { return make([]float32, 2*n), nil },
		Gradients: func(_ context.Context, _ []float32, n int, _ []float32) ([]float32, error) {
			return gradients[:n*p.Size()], nil
		},
	}
	for name, m := range methods() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			runs := 0
			net.Progress = func(_, all int) { runs = all }
			for b.Loop() {
				_, err := m.do(b.Context(), net, x, base)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*runs), "µs/run")
		})
	}
	b.Run("Superpixels", func(b *testing.B) {
		for b.Loop() {
			sampling.Superpixels(p, x, 60, 10)
		}
	})
}
