package sampling_test

import (
	"context"
	"fmt"
	"slices"

	"endogate/explain/sampling"
)

// A network that tells how bright the pixel at column 5, row 2 is: hiding that pixel matters.
func ExampleOcclusion() {
	net := sampling.Network{
		Picture: sampling.Picture{Frames: 1, Channels: 1, Height: 8, Width: 8},
		Batch:   4,
		Logits: func(_ context.Context, inputs []float32, n int) (logits []float32, _ error) {
			for i := range n {
				logits = append(logits, inputs[i*64+2*8+5])
			}
			return logits, nil
		},
	}
	input, black := slices.Repeat([]float32{1}, 64), make([]float32, 64)
	m, err := sampling.Occlusion(context.Background(), net, input, black, sampling.Logit(0), sampling.OcclusionOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := slices.Index(m.Values, slices.Max(m.Values))
	fmt.Printf("column %d, row %d: the score drops by %v\n", at%m.Width, at/m.Width, m.Values[at])
	// Output: column 5, row 2: the score drops by 1
}
