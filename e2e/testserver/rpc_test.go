package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

func inferOf(values ...string) *oip.ModelInferRequest {
	in := &oip.ModelInferRequest_InferInputTensor{Name: "x", Datatype: "BYTES", Shape: []int64{int64(len(values))}, Contents: &oip.InferTensorContents{}}
	for _, v := range values {
		in.Contents.BytesContents = append(in.Contents.BytesContents, []byte(v))
	}
	return &oip.ModelInferRequest{ModelName: "model", Id: "7", Inputs: []*oip.ModelInferRequest_InferInputTensor{in}}
}

func TestGRPCAnswersOnTheSharedAndOnItsOwnPort(t *testing.T) {
	r := start(t)
	for name, addr := range map[string]string{"shared": strings.TrimPrefix(r.url, "http://"), "own": r.grpc} {
		t.Run(name, func(t *testing.T) {
			c := r.rpc(t, addr)
			live, err := c.ServerLive(t.Context(), &oip.ServerLiveRequest{})
			require.NoError(t, err)
			require.True(t, live.Live)
			ready, err := c.ModelReady(t.Context(), &oip.ModelReadyRequest{Name: "model"})
			require.NoError(t, err)
			require.True(t, ready.Ready)
			about, err := c.ServerMetadata(t.Context(), &oip.ServerMetadataRequest{})
			require.NoError(t, err)
			require.Equal(t, serverName, about.Name)
			model, err := c.ModelMetadata(t.Context(), &oip.ModelMetadataRequest{Name: "model"})
			require.NoError(t, err)
			require.Equal(t, "echo", model.Platform)

			var header metadata.MD
			got, err := c.ModelInfer(t.Context(), inferOf("a", "b"), grpc.Header(&header))
			require.NoError(t, err)
			require.Equal(t, "7", got.Id)
			require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, got.Outputs[0].Contents.BytesContents)
			require.NotEmpty(t, header.Get(startedHeader))

			for name, err := range map[codes.Code]error{
				codes.NotFound:        second(c.ModelInfer(t.Context(), &oip.ModelInferRequest{ModelName: "other"})),
				codes.InvalidArgument: second(c.ModelInfer(t.Context(), &oip.ModelInferRequest{ModelName: "model"})),
			} {
				require.Equal(t, name, status.Code(err))
			}
			_, err = c.ModelInfer(metadata.AppendToOutgoingContext(t.Context(), "x-delay", "soon"), inferOf("a"))
			require.Equal(t, codes.InvalidArgument, status.Code(err))
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), "x-delay", "1h"), 50*time.Millisecond)
			defer cancel()
			_, err = c.ModelInfer(ctx, inferOf("a"))
			require.Equal(t, codes.DeadlineExceeded, status.Code(err))
		})
	}
	require.NoError(t, r.stop())
}

func second[T any](_ T, err error) error { return err }

func TestAGRPCStreamAnswersEachMessageAndIsOneExecution(t *testing.T) {
	r := start(t)
	for _, addr := range []string{strings.TrimPrefix(r.url, "http://"), r.grpc} {
		r.count.reset()
		stream, err := r.rpc(t, addr).ModelStreamInfer(t.Context())
		require.NoError(t, err)
		for _, v := range []string{"a", "b", "c"} {
			require.NoError(t, stream.Send(inferOf(v)))
			got, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, v, string(got.Outputs[0].Contents.BytesContents[0]))
		}
		require.NoError(t, stream.CloseSend())
		_, err = stream.Recv()
		require.ErrorIs(t, err, io.EOF)
		require.Eventually(t, func() bool { return r.count.snapshot().Completed == 1 }, 10*time.Second, time.Millisecond)
		require.EqualValues(t, 1, r.count.snapshot().Executed)
	}
}
