package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/rawserve/rawserve/e2e/cluster/image"
	"github.com/rawserve/rawserve/e2e/cluster/internal/addon"
	"github.com/rawserve/rawserve/e2e/cluster/internal/build"
)

// archives are what a node must have before its first pod starts: the addons'
// images, and those that were loaded.
func (c *Cluster) archives(ctx context.Context) ([]string, error) {
	own, err := c.addonArchives(ctx)
	if err != nil {
		return nil, err
	}
	loaded, err := kept(c.plan.ImagesDir())
	return append(own, loaded...), err
}

// addonArchives makes the images of the addons, once per version of their binaries.
func (c *Cluster) addonArchives(ctx context.Context) ([]string, error) {
	folder, err := build.DefaultFolder()
	if err != nil {
		return nil, err
	}
	folder = filepath.Join(folder, "images")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("making cache: %w", err)
	}
	var files []string
	for _, s := range addon.Images(c.spec.Machine.Binaries) {
		description, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("describing image %s: %w", s.Reference, err)
		}
		// A binary's path holds the hash of its sources.
		sum := sha256.Sum256(description)
		name, _, _ := strings.Cut(path.Base(s.Reference), ":")
		file := filepath.Join(folder, name+"-"+hex.EncodeToString(sum[:6])+".tar")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if err := image.Write(ctx, s, file); err != nil {
				return nil, err
			}
		}
		files = append(files, file)
	}
	return files, nil
}

// applyAddons gives the API server the addons' objects. Those that are there
// already stay as they are.
func (c *Cluster) applyAddons(ctx context.Context) error {
	return poll(ctx, "the API server to take the addons", func(ctx context.Context) error {
		_, err := c.Kubectl(ctx, strings.NewReader(addon.Manifests(c.plan)), "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	})
}

// Kubectl runs kubectl against the cluster with that input and gives its output.
func (c *Cluster) Kubectl(ctx context.Context, stdin *strings.Reader, args ...string) ([]byte, error) {
	kubectl, err := c.Binary("kubectl")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, kubectl, append([]string{
		"--kubeconfig", c.Kubeconfig(), "--cache-dir", filepath.Join(c.plan.Dir(), "kubectl"),
	}, args...)...)
	cmd.Env = c.Environment()
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// This program may have entered another cluster's network.
	if err := c.Do("", cmd.Run); err != nil {
		return nil, fmt.Errorf("running kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// nodeStates asks the API server for the nodes.
func (c *Cluster) nodeStates(ctx context.Context) ([]NodeStatus, error) {
	client, err := c.apiClient()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	body, err := get(ctx, client, c.plan.APIServer()+"/api/v1/nodes")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct {
					Type, Status, Message string
					LastHeartbeatTime     time.Time
				}
			}
		}
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("reading nodes: %w", err)
	}
	var states []NodeStatus
	for _, item := range list.Items {
		state := NodeStatus{Name: item.Metadata.Name, Message: "the kubelet has not reported yet"}
		for _, condition := range item.Status.Conditions {
			if condition.Type == "Ready" {
				state.Ready, state.Message = condition.Status == "True", condition.Message
				state.Reported = condition.LastHeartbeatTime
			}
		}
		states = append(states, state)
	}
	return states, nil
}

// waitNodes waits until every node is there and ready.
func (c *Cluster) waitNodes(ctx context.Context) error {
	return poll(ctx, "nodes to be ready", func(ctx context.Context) error {
		states, err := c.nodeStates(ctx)
		if err != nil {
			return err
		}
		ready := 0
		for _, state := range states {
			if !state.Ready {
				return fmt.Errorf("%s: %s", state.Name, state.Message)
			}
			ready++
		}
		if ready < c.plan.Nodes {
			return fmt.Errorf("%d of %d nodes have joined", ready, c.plan.Nodes)
		}
		return nil
	})
}

// waitAddons waits until names resolve and, if asked to, metrics are served.
func (c *Cluster) waitAddons(ctx context.Context, metrics bool) error {
	names := []string{addon.CoreDNS}
	if metrics {
		names = append(names, addon.MetricsServer)
	}
	client, err := c.apiClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	for _, name := range names {
		err := poll(ctx, name+" to be ready", func(ctx context.Context) error {
			body, err := get(ctx, client, c.plan.APIServer()+"/apis/apps/v1/namespaces/kube-system/deployments/"+name)
			if err != nil {
				return err
			}
			var deployment struct {
				Status struct {
					ReadyReplicas int
					Conditions    []struct{ Type, Message string }
				}
			}
			if err := json.Unmarshal(body, &deployment); err != nil {
				return fmt.Errorf("reading deployment %s: %w", name, err)
			}
			if deployment.Status.ReadyReplicas == 0 {
				return fmt.Errorf("no replica is ready: %v", deployment.Status.Conditions)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if !metrics {
		return nil
	}
	return poll(ctx, "the metrics API", func(ctx context.Context) error {
		_, err := get(ctx, client, c.plan.APIServer()+"/apis/metrics.k8s.io/v1beta1/nodes")
		return err
	})
}
