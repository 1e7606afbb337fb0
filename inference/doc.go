// Package inference turns a frame into findings: it reads model bundles, prepares frames as
// the network was trained on them, runs network and explanation, maps explanations back onto
// the source frame and does the jobs of the work queue. Errors of a job are of three kinds: Permanent, Postponed (no fault
// of the job: the try does not count), and the rest, which count as tries.
//
// A bundle is a folder with model.onnx and model.yaml. Coded concepts are those of PS3.3 8.8.
// Running a network is left to a [Network], decoding to dicomnode/pixeldata, the queue to
// inference/jobs, rendering and storing results to the caller of [Worker].
package inference
