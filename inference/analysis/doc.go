// Package analysis is the vocabulary of what a model says about an instance. Everything that makes, keeps, reports or
// shows a result uses these types as they are.
//
// What a model sees is a sample: frames of an instance that follow one another. What it says is about the span of that
// sample; a still is a span of one frame. Nothing here has patient data.
package analysis
