package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Event is something that was seen to happen.
type Event struct {
	// At is when it was seen.
	At time.Time
	// What it is, in words.
	What string
}

// Timeline follows the start of a Deployment's first pod.
type Timeline struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu        sync.Mutex
	seen      map[string]bool
	events    []Event
	addresses map[string]bool
}

// WatchStart begins to note when the Deployment is asked for replicas and how
// its pods come up. The API server's own timestamps have whole seconds, so the
// times are those at which the events arrive here; only an activator's hold is told
// by its own clock.
func (e *Env) WatchStart(ctx context.Context, namespace, deployment string) (*Timeline, error) {
	d, err := e.Kube.AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading Deployment %s/%s: %w", namespace, deployment, err)
	}
	selector := metav1.FormatLabelSelector(d.Spec.Selector)
	ctx, cancel := context.WithCancel(ctx)
	t := &Timeline{cancel: cancel, seen: map[string]bool{}, addresses: map[string]bool{}}
	deployments, err := e.Kube.AppsV1().Deployments(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + deployment, ResourceVersion: d.ResourceVersion})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watching Deployment %s/%s: %w", namespace, deployment, err)
	}
	pods, err := e.Kube.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		deployments.Stop()
		cancel()
		return nil, fmt.Errorf("watching pods of %s/%s: %w", namespace, deployment, err)
	}
	t.done.Go(func() { t.follow(deployments) })
	t.done.Go(func() { t.follow(pods) })
	if err := e.watchHeld(ctx, t, namespace, deployment); err != nil {
		t.Stop()
		return nil, err
	}
	return t, nil
}

// askHeldEvery is how often activators are asked whether they hold a request. They
// say since when, so that it bounds no event's time.
const askHeldEvery = 20 * time.Millisecond

// watchHeld notes when the first request of the route, which has the Deployment's
// name, was held. The activators' own clock tells.
func (e *Env) watchHeld(ctx context.Context, t *Timeline, namespace, route string) error {
	activators, err := e.Activators(ctx)
	if err != nil {
		return err
	}
	before, err := activators.Sum(ctx, namespace, route)
	if err != nil {
		return err
	}
	t.done.Go(func() {
		defer activators.Close()
		ticker := time.NewTicker(askHeldEvery)
		defer ticker.Stop()
		for {
			if at, held, err := activators.HeldSince(ctx, namespace, route, before); err == nil && held {
				t.noteAt(at, "request held by an activator")
				return
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// Stop ends the watches and returns what was seen.
func (t *Timeline) Stop() []Event {
	t.cancel()
	t.done.Wait()
	return t.events
}

// ServerAnswered asks the agents of the pods seen when their server answered its
// readiness probe for the first time, by the node's clock.
func (e *Env) ServerAnswered(ctx context.Context, t *Timeline) ([]Event, error) {
	t.mu.Lock()
	addresses := slices.Collect(maps.Keys(t.addresses))
	t.mu.Unlock()
	var events []Event
	for _, address := range addresses {
		at, err := e.serverReadyAt(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("asking the agent at %s when the server answered: %w", address, err)
		}
		events = append(events, Event{At: at, What: "server answered the agent"})
	}
	return events, nil
}

func (e *Env) serverReadyAt(ctx context.Context, address string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(address, "9082")+"/metrics", nil)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := e.HTTPClient(false).Do(req)
	if err != nil {
		return time.Time{}, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "rawserve_agent_server_ready_timestamp_seconds "); ok {
			seconds, err := strconv.ParseFloat(text, 64)
			return time.UnixMicro(int64(seconds * 1e6)), err
		}
	}
	return time.Time{}, errors.Join(errors.New("it has no such metric"), lines.Err())
}

func (t *Timeline) follow(w watch.Interface) {
	defer w.Stop()
	for e := range w.ResultChan() {
		switch o := e.Object.(type) {
		case *appsv1.Deployment:
			if o.Spec.Replicas != nil && *o.Spec.Replicas > 0 {
				t.note("scale written: %d replica(s) asked for", *o.Spec.Replicas)
			}
		case *corev1.Pod:
			t.pod(o)
		}
	}
}

func (t *Timeline) pod(p *corev1.Pod) {
	if p.DeletionTimestamp != nil {
		return
	}
	if p.Spec.NodeName != "" {
		t.note("pod scheduled")
	}
	if p.Status.PodIP != "" {
		t.mu.Lock()
		t.addresses[p.Status.PodIP] = true
		t.mu.Unlock()
		t.note("pod has its address")
	}
	for _, c := range p.Status.InitContainerStatuses {
		if c.State.Running != nil {
			t.note("%s runs", c.Name)
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running != nil {
			t.note("%s started", c.Name)
		}
		if c.Ready {
			t.note("kubelet calls %s ready (the activator does not wait for it)", c.Name)
		}
	}
}

func (t *Timeline) note(format string, args ...any) {
	t.noteAt(time.Now(), fmt.Sprintf(format, args...))
}

func (t *Timeline) noteAt(at time.Time, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.seen[what] {
		t.seen[what] = true
		t.events = append(t.events, Event{At: at, What: what})
	}
}
