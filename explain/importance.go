package explain

import (
	"cmp"
	"slices"
)

// DroppedAttention is the share of an attention's weights that is left out as noise, the lowest: that of Mahendar et al.
const DroppedAttention = 0.3

// FrameImportance says how much each frame of a clip counts, by the attention matrices of layers over tokens, of which prefix stand before the
// frames (AttentionWeights). Of the weights between those tokens and the frames that are there, the lowest are dropped; what the class token's row
// then has is its layer's answer, where there is no class token the mean of the rows. It is not made to add up to one again: what the
// class token gives to itself, and what was dropped, are missing. Null frames, those beyond frames, have exactly zero.
func FrameImportance(weights []float32, tokens, prefix, frames int) [][]float32 {
	var layers [][]float32
	real := prefix + frames
	for matrix := range slices.Chunk(weights, tokens*tokens) {
		kept := make([]float32, 0, real*real)
		for row := range real {
			kept = append(kept, matrix[row*tokens:][:real]...)
		}
		order := make([]int, len(kept))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(kept[a], kept[b]) })
		for _, i := range order[:int(DroppedAttention*float64(len(kept)))] {
			kept[i] = 0
		}
		row := make([]float32, tokens-prefix)
		readers := real
		if prefix > 0 {
			readers = 1
		}
		for r := range readers {
			for i := range frames {
				row[i] += kept[r*real+prefix+i] / float32(readers)
			}
		}
		layers = append(layers, row)
	}
	return layers
}
