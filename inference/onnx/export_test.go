package onnx

// WeightsFolder writes a file of weights.
var WeightsFolder = weightsFolder

// What is said of LIME's linear model and of the sum of integrated gradients.
var (
	FitNote = fitNote
	GapNote = gapNote
)
