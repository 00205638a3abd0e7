// Package oip holds the generated messages, client and server of the Open Inference
// Protocol over gRPC. To remake it, have protoc 3.21 (Debian's protobuf-compiler) and,
// on the PATH, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.2.
package oip

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative inference.proto
