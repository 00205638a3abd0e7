package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

// grpcClient connects to a predictor's Service.
func grpcClient(t *testing.T, ns, name string) oip.GRPCInferenceServiceClient {
	t.Helper()
	dial := func(ctx context.Context, address string) (net.Conn, error) { return env.Dial(ctx, "tcp", address) }
	conn, err := grpc.NewClient("passthrough:///"+name+"-predictor."+ns+".svc.cluster.local:80",
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return oip.NewGRPCInferenceServiceClient(conn)
}

func named(port string) func(*v1beta1.InferenceService) {
	return func(s *v1beta1.InferenceService) { s.Spec.Predictor.Containers[0].Ports[0].Name = port }
}

var tensor = []*oip.ModelInferRequest_InferInputTensor{{
	Name: "x", Datatype: "FP32", Shape: []int64{1, 2}, Contents: &oip.InferTensorContents{Fp32Contents: []float32{1, 2}},
}}

func TestGRPCRequestIsAnsweredFromZero(t *testing.T) {
	ns := namespace(t)
	toZero(t, ns, harness.TestService("rpc", nil, named("h2c")))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answer, err := grpcClient(t, ns, "rpc").ModelInfer(ctx, &oip.ModelInferRequest{ModelName: "rpc", Id: "42", Inputs: tensor})
	require.NoError(t, err)
	require.Equal(t, "rpc", answer.ModelName)
	require.Equal(t, "42", answer.Id)
	require.NotEmpty(t, answer.Outputs)
}

func TestGRPCStreamFlowsBothWaysFromZero(t *testing.T) {
	ns := namespace(t)
	toZero(t, ns, harness.TestService("stream", nil, named("h2c")))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := grpcClient(t, ns, "stream").ModelStreamInfer(ctx)
	require.NoError(t, err)
	// Each message is answered before the next one is sent, so nothing may be
	// collected on the way in either direction.
	for i := range 5 {
		id := fmt.Sprint(i)
		require.NoError(t, stream.Send(&oip.ModelInferRequest{ModelName: "stream", Id: id, Inputs: tensor}))
		answer, err := stream.Recv()
		require.NoError(t, err)
		require.Equal(t, id, answer.Id)
	}
	require.NoError(t, stream.CloseSend())

	// A stream that the server refuses ends although the client would go on sending.
	refused, err := grpcClient(t, ns, "stream").ModelStreamInfer(ctx)
	require.NoError(t, err)
	require.NoError(t, refused.Send(&oip.ModelInferRequest{ModelName: "stream"}))
	_, err = refused.Recv()
	require.Equal(t, codes.InvalidArgument, status.Code(err), err)
}

func TestGRPCClientLearnsWhyNothingStarts(t *testing.T) {
	ns := namespace(t)
	require.NoError(t, env.Create(t.Context(), ns, harness.TestService("rpc-missing", nil, named("h2c"),
		func(s *v1beta1.InferenceService) { s.Spec.Predictor.Containers[0].Image = "rawserve/not-there:none" },
		harness.Annotate("autoscaling.knative.dev/initial-scale", "0"), harness.Annotate("serving.knative.dev/progress-deadline", "60s"))))
	_, err := env.WaitRoute(t.Context(), ns, "rpc-missing-predictor", "be confirmed", time.Minute, confirmedAtZero)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	_, err = grpcClient(t, ns, "rpc-missing").ModelInfer(ctx, &oip.ModelInferRequest{ModelName: "rpc-missing"})
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	require.ErrorContains(t, err, "ImagePull")
}

func TestEventsAreStreamedFromZero(t *testing.T) {
	ns := namespace(t)
	toZero(t, ns, harness.TestService("events", nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, harness.PredictorURL(ns, "events")+"/stream?n=5&interval=200ms", nil)
	require.NoError(t, err)
	resp, err := env.HTTPClient(false).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var reads []time.Time
	buffer := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buffer)
		if n > 0 {
			reads = append(reads, time.Now())
		}
		if err != nil {
			break
		}
	}
	require.GreaterOrEqual(t, len(reads), 5, "each event comes by itself")
	require.Greater(t, reads[len(reads)-1].Sub(reads[0]), 600*time.Millisecond, "the first event does not wait for the last")
}
