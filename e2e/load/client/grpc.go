package client

import (
	"bytes"
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/rawserve/rawserve/e2e/load"
)

// method is what is called.
const method = "/inference.GRPCInferenceService/ModelInfer"

// grpcCaller calls over a connection that it shares with others.
type grpcCaller struct {
	conn    *grpc.ClientConn
	owner   bool
	header  metadata.MD
	request []byte
	want    []byte
	answer  []byte
}

func newGRPC(o Options) ([]caller, error) {
	conns := make([]*grpc.ClientConn, o.Cell.Connections())
	for i := range conns {
		conn, err := grpc.NewClient("passthrough:///"+o.Addr,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(host),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
		if err != nil {
			return nil, fmt.Errorf("making a connection: %w", err)
		}
		conns[i] = conn
	}
	callers := make([]caller, o.Cell.Clients)
	for i := range callers {
		callers[i] = &grpcCaller{
			conn: conns[i%len(conns)], owner: i < len(conns), header: metadata.New(o.Header),
			request: bytes.Repeat([]byte("x"), o.Cell.Body), want: []byte(load.Answer(o.Cell.Body)),
		}
	}
	return callers, nil
}

func (c *grpcCaller) call(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if len(c.header) > 0 {
		ctx = metadata.NewOutgoingContext(ctx, c.header)
	}
	if err := c.conn.Invoke(ctx, method, &c.request, &c.answer); err != nil {
		return fmt.Errorf("calling: %s", status.Convert(err).Message()) //nolint:errorlint // only the words count
	}
	if !bytes.Equal(c.answer, c.want) {
		return fmt.Errorf("the answer is %q, not %q", c.answer, c.want)
	}
	return nil
}

func (c *grpcCaller) close() {
	if c.owner {
		c.conn.Close()
	}
}

// rawCodec takes messages as they are: encoding them is not what is measured.
type rawCodec struct{}

var _ encoding.Codec = rawCodec{}

// Marshal is for grpc.
func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal is for grpc, which uses data again.
func (rawCodec) Unmarshal(data []byte, v any) error {
	p := v.(*[]byte)
	*p = append((*p)[:0], data...)
	return nil
}

// Name is for grpc.
func (rawCodec) Name() string { return "proto" }
