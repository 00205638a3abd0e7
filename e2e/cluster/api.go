package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/rest"
)

// plainClient asks the few questions that a target is asked, in JSON. The typed
// client would double the time that everything using this package takes to build.
type plainClient struct {
	client *http.Client
	host   string
}

func newPlainClient(config *rest.Config) (plainClient, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return plainClient{}, fmt.Errorf("making client of %s: %w", config.Host, err)
	}
	client.Timeout = askTimeout
	host := config.Host
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	return plainClient{client: client, host: strings.TrimSuffix(host, "/")}, nil
}

func (p plainClient) get(ctx context.Context, path string, into any) error {
	return p.do(ctx, http.MethodGet, path, nil, into)
}

func (p plainClient) do(ctx context.Context, method, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, p.host+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s: %.300s", path, response.Status, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// mayDoAnything asks whether the user is an administrator.
func (p plainClient) mayDoAnything(ctx context.Context) (bool, error) {
	const question = `{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectAccessReview",` +
		`"spec":{"resourceAttributes":{"group":"*","resource":"*","verb":"*"}}}`
	var review struct {
		Status struct{ Allowed bool }
	}
	err := p.do(ctx, http.MethodPost, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", []byte(question), &review)
	return review.Status.Allowed, err
}
