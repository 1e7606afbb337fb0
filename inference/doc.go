// Package inference turns frames into findings and maps: it reads model bundles, prepares frames as the network was trained
// on them, runs network and explanation, and does this for every frame of an instance. It knows nothing of where an
// instance is from, whose it is, and where the results go. Errors of a task are of three kinds: Permanent, Postponed (no fault
// of the task: the try does not count), and the rest, which count as tries.
//
// A bundle is a folder with model.onnx and model.yaml. Coded concepts are those of PS3.3 8.8.
// Running a network is left to a [Network], decoding to dicomnode/pixeldata; what is said is in the words of
// inference/analysis. Pictures and objects are made of it where the instance is.
package inference
