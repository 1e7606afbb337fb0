// Package onnxpb is the ONNX intermediate representation as Go types.
//
// onnx.pb.go is generated from onnx.proto (IR version 8) of the ONNX project,
// https://github.com/onnx/onnx, Copyright (c) ONNX Project Contributors, licensed under
// Apache-2.0, as Debian's package libonnx-dev installs it. Nothing is added or taken
// away; fields of later IR versions are kept as unknown fields and written back.
package onnxpb

//go:generate sh -c "protoc -I/usr/include/onnx --plugin=protoc-gen-go=$(go tool -n protoc-gen-go) --go_out=. --go_opt=paths=source_relative,Monnx.proto=endogate/explain/onnxpb onnx.proto"
