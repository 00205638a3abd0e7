// Package cri asks a node's container runtime what the kubelet would ask it.
package cri

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client talks to one container runtime.
type Client struct {
	conn *grpc.ClientConn
}

// Dial prepares a client of the runtime at that socket; it connects when asked something.
func Dial(socket string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("dialling container runtime: %w", err)
	}
	return &Client{conn: conn}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Ready says whether the runtime itself works. Its network may still be missing.
func (c *Client) Ready(ctx context.Context) error {
	response, err := runtime.NewRuntimeServiceClient(c.conn).Status(ctx, &runtime.StatusRequest{})
	if err != nil {
		return fmt.Errorf("asking container runtime: %w", err)
	}
	for _, condition := range response.Status.GetConditions() {
		if condition.Type == runtime.RuntimeReady && !condition.Status {
			return fmt.Errorf("container runtime is not ready: %s", condition.Message)
		}
	}
	return nil
}

// HasImage says whether a pod could use the image now.
func (c *Client) HasImage(ctx context.Context, reference string) (bool, error) {
	response, err := runtime.NewImageServiceClient(c.conn).ImageStatus(ctx, &runtime.ImageStatusRequest{Image: &runtime.ImageSpec{Image: reference}})
	if err != nil {
		return false, fmt.Errorf("asking container runtime for image %s: %w", reference, err)
	}
	return response.Image != nil, nil
}
