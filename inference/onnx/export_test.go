package onnx

// WeightsFolder writes a file of weights.
var WeightsFolder = weightsFolder
