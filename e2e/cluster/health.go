package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rawserve/rawserve/e2e/cluster/internal/component"
	"github.com/rawserve/rawserve/e2e/cluster/internal/cri"
	"github.com/rawserve/rawserve/e2e/cluster/internal/netns"
	"github.com/rawserve/rawserve/e2e/cluster/internal/pki"
)

// pollEvery is how often something without notifications is asked again.
const pollEvery = 50 * time.Millisecond

// poll calls check until it gives nil, at most until ctx ends. The error then
// says what was waited for and what the last check found.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w; last seen: %w", what, context.Cause(ctx), err)
		}
	}
}

// startGrace is how long the launcher may take to become the component.
const startGrace = 2 * time.Second

// waitHealthy waits until every process answers that it works. One that ends
// meanwhile is reported at once, with the end of its log.
func (c *Cluster) waitHealthy(ctx context.Context, processes ...component.Process) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range processes {
		group.Go(func() error { return c.waitOne(ctx, p) })
	}
	return group.Wait()
}

func (c *Cluster) waitOne(ctx context.Context, p component.Process) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	err := poll(ctx, p.Component+" to work", func(ctx context.Context) error {
		err := c.healthy(ctx, p)
		if err == nil {
			return nil
		}
		if _, ok, _ := c.running(p); !ok && time.Since(began) > startGrace {
			cancel(fmt.Errorf("%s has ended", p.Component))
		}
		return err
	})
	if err != nil {
		return logged(p, err)
	}
	return nil
}

// askTimeout bounds one question to a component.
const askTimeout = 3 * time.Second

// healthy asks a component whether it works.
func (c *Cluster) healthy(ctx context.Context, p component.Process) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if p.Health.Socket != "" {
		client, err := cri.Dial(p.Health.Socket)
		if err != nil {
			return err
		}
		defer client.Close()
		return client.Ready(ctx)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return netns.DialContext(ctx, p.Netns, network, address)
		},
		// The controllers sign their own certificates, which nobody could check;
		// the connection does not leave the machine and carries no secret.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	_, err := get(ctx, &http.Client{Transport: transport}, p.Health.URL)
	return err
}

// apiClient speaks to the API server as the administrator.
func (c *Cluster) apiClient() (*http.Client, error) {
	folder := pki.Folder(c.plan.PKIDir())
	cert, err := tls.LoadX509KeyPair(folder.CertFile("admin"), folder.KeyFile("admin"))
	if err != nil {
		return nil, fmt.Errorf("reading administrator's certificate: %w", err)
	}
	authority, err := os.ReadFile(folder.CertFile("ca"))
	if err != nil {
		return nil, fmt.Errorf("reading authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &http.Client{
		Timeout: askTimeout,
		Transport: &http.Transport{
			DialContext:     c.DialContext,
			TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}},
		},
	}, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 8 << 20

// get fetches a page; any answer but 200 is an error.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %.300s", url, response.Status, body)
	}
	return body, nil
}
