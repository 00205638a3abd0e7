package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/rawserve/rawserve/e2e/testserver/oip"
)

// rpcServer serves the V2 protocol over gRPC. As over HTTP, outputs are the inputs.
type rpcServer struct {
	oip.UnimplementedGRPCInferenceServiceServer
	*server
}

func (s *server) grpcServer() *grpc.Server {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxBody),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			// Fails only where the header is sent already, which is not so here.
			_ = grpc.SetHeader(ctx, s.rpcHeader())
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			_ = stream.SetHeader(s.rpcHeader())
			return next(srv, stream)
		}))
	oip.RegisterGRPCInferenceServiceServer(g, rpcServer{server: s})
	return g
}

func (s *server) rpcHeader() metadata.MD {
	return metadata.Pairs(startedHeader, strconv.FormatInt(s.started.Load(), 10), nameHeader, s.name)
}

func (s rpcServer) ServerLive(context.Context, *oip.ServerLiveRequest) (*oip.ServerLiveResponse, error) {
	return &oip.ServerLiveResponse{Live: true}, nil
}

func (s rpcServer) ServerReady(context.Context, *oip.ServerReadyRequest) (*oip.ServerReadyResponse, error) {
	return &oip.ServerReadyResponse{Ready: s.ready.Load()}, nil
}

func (s rpcServer) ModelReady(_ context.Context, req *oip.ModelReadyRequest) (*oip.ModelReadyResponse, error) {
	if !s.knows(req.Name) {
		return nil, status.Errorf(codes.NotFound, "model %q does not exist", req.Name)
	}
	return &oip.ModelReadyResponse{Ready: s.ready.Load()}, nil
}

func (s rpcServer) ServerMetadata(context.Context, *oip.ServerMetadataRequest) (*oip.ServerMetadataResponse, error) {
	return &oip.ServerMetadataResponse{Name: serverName, Version: serverVersion}, nil
}

func (s rpcServer) ModelMetadata(_ context.Context, req *oip.ModelMetadataRequest) (*oip.ModelMetadataResponse, error) {
	if !s.knows(req.Name) {
		return nil, status.Errorf(codes.NotFound, "model %q does not exist", req.Name)
	}
	return &oip.ModelMetadataResponse{Name: req.Name, Versions: []string{serverVersion}, Platform: "echo"}, nil
}

func (s rpcServer) ModelInfer(ctx context.Context, req *oip.ModelInferRequest) (*oip.ModelInferResponse, error) {
	delay, err := s.rpcDelay(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.rpcAdmit(req.ModelName); err != nil {
		return nil, err
	}
	var answer *oip.ModelInferResponse
	err = s.execute(ctx, oip.GRPCInferenceService_ModelInfer_FullMethodName, delay, func() error {
		if err := s.record(ctx, req.Id); err != nil {
			return status.Error(codes.Internal, err.Error())
		}
		s.count.body(int64(proto.Size(req)))
		answer, err = infer(req)
		return err
	})
	return answer, s.rpcError(ctx, err)
}

// ModelStreamInfer answers each request of a stream in turn. The stream as a whole is
// one execution, as it holds one place in the server; each message takes the delay.
func (s rpcServer) ModelStreamInfer(stream grpc.BidiStreamingServer[oip.ModelInferRequest, oip.ModelInferResponse]) error {
	ctx := stream.Context()
	delay, err := s.rpcDelay(ctx)
	if err != nil {
		return err
	}
	err = s.execute(ctx, oip.GRPCInferenceService_ModelStreamInfer_FullMethodName, 0, func() error {
		for {
			req, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return errors.Join(errLeft, err)
			}
			if err := s.answerOne(ctx, stream, req, delay); err != nil {
				return err
			}
		}
	})
	return s.rpcError(ctx, err)
}

func (s rpcServer) answerOne(ctx context.Context, stream grpc.BidiStreamingServer[oip.ModelInferRequest, oip.ModelInferResponse], req *oip.ModelInferRequest, delay time.Duration) error {
	if err := s.rpcAdmit(req.ModelName); err != nil {
		return err
	}
	if err := s.record(ctx, req.Id); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	s.count.body(int64(proto.Size(req)))
	answer, err := infer(req)
	if err != nil {
		return err
	}
	if err := pause(ctx, delay); err != nil {
		return errors.Join(errLeft, err)
	}
	if err := stream.Send(answer); err != nil {
		return errors.Join(errLeft, err)
	}
	return nil
}

func infer(req *oip.ModelInferRequest) (*oip.ModelInferResponse, error) {
	if len(req.Inputs) == 0 {
		return nil, badRequest("the request has no inputs")
	}
	answer := &oip.ModelInferResponse{
		ModelName: req.ModelName, ModelVersion: req.ModelVersion, Id: req.Id, RawOutputContents: req.RawInputContents,
	}
	for _, in := range req.Inputs {
		answer.Outputs = append(answer.Outputs, &oip.ModelInferResponse_InferOutputTensor{
			Name: in.Name, Datatype: in.Datatype, Shape: in.Shape, Contents: in.Contents,
		})
	}
	return answer, nil
}

func (s rpcServer) rpcAdmit(model string) error {
	switch {
	case !s.knows(model):
		return status.Errorf(codes.NotFound, "model %q does not exist", model)
	case !s.ready.Load():
		return status.Errorf(codes.Unavailable, "model %q is not ready", model)
	}
	return nil
}

func (s rpcServer) rpcDelay(ctx context.Context) (time.Duration, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	value := ""
	if values := md.Get("x-delay"); len(values) > 0 {
		value = values[0]
	}
	d, err := s.parseDelay(value)
	if err != nil {
		return 0, status.Error(codes.InvalidArgument, err.Error())
	}
	return d, nil
}

// rpcError turns an execution's error into a gRPC status.
func (s rpcServer) rpcError(ctx context.Context, err error) error {
	var wrong requestError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		return status.Error(codes.InvalidArgument, wrong.message)
	case errors.Is(err, errFail):
		return status.Error(failCode(s.set.FailStatus), err.Error())
	case errors.Is(err, errLeft):
		return status.FromContextError(ctx.Err()).Err()
	}
	return err
}

// failCode is the gRPC code that stands for an HTTP status, as gRPC's own mapping has it.
func failCode(httpStatus int) codes.Code {
	switch httpStatus {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	}
	return codes.Internal
}
