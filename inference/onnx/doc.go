// Package onnx runs ONNX models on ONNX Runtime, a shared library found at run time ([FindLibrary]).
//
// [Open] loads the library once for the process. A [Session] is a loaded model; a [Network] is an image
// classifier that explains itself, compiled by package explain. Both may be used by any number of
// goroutines; a bound keeps runs × threads within the cores.
//
// Threads do not spin while they wait: with anything else running, spinning threads are slower than one.
// The package leaves out training, execution providers other than the CPU's and CUDA, and every element type but
// float32 at a session's inputs and outputs.
package onnx
