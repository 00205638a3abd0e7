package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// activatorAdmin is the port on which activators tell their counters.
const activatorAdmin = "8081"

// RouteStats are the counters of one InferenceRoute, as docs/design/contracts.md
// describes them.
type RouteStats struct {
	Waiting        int64   `json:"waiting"`
	WaitingSeconds float64 `json:"waitingSeconds"`
	Arrivals       int64   `json:"arrivals"`
	Forwarded      int64   `json:"forwarded"`
	Abandoned      int64   `json:"abandoned"`
}

// Activators asks activators for their counters.
type Activators struct {
	client    *http.Client
	addresses []string
}

// Activators finds those that run now and are not on their way out.
func (e *Env) Activators(ctx context.Context) (*Activators, error) {
	pods, err := e.Kube.CoreV1().Pods(SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=activator"})
	if err != nil {
		return nil, fmt.Errorf("listing activators: %w", err)
	}
	a := &Activators{client: e.HTTPClient(true)}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil && p.Status.PodIP != "" {
			a.addresses = append(a.addresses, net.JoinHostPort(p.Status.PodIP, activatorAdmin))
		}
	}
	if len(a.addresses) == 0 {
		return nil, fmt.Errorf("namespace %s has no activator", SystemNamespace)
	}
	return a, nil
}

// Close ends the connections.
func (a *Activators) Close() { a.client.CloseIdleConnections() }

// Sum adds a route's counters up over the activators. One that does not serve the
// route has counted nothing of it.
func (a *Activators) Sum(ctx context.Context, namespace, route string) (RouteStats, error) {
	var sum RouteStats
	err := a.each(ctx, namespace, route, func(_ time.Time, s RouteStats) {
		sum.Waiting += s.Waiting
		sum.WaitingSeconds += s.WaitingSeconds
		sum.Arrivals += s.Arrivals
		sum.Forwarded += s.Forwarded
		sum.Abandoned += s.Abandoned
	})
	return sum, err
}

// HeldSince tells since when, by the activators' own clock, a route's requests are
// held; false if none is. before has what Sum gave when none was. The integral of
// the waiting requests grew only since:
//
//	2 requests, 0.3 s more than before, asked at 12:00:05.00  ->  12:00:04.85
func (a *Activators) HeldSince(ctx context.Context, namespace, route string, before RouteStats) (time.Time, bool, error) {
	var now RouteStats
	var asked time.Time
	err := a.each(ctx, namespace, route, func(at time.Time, s RouteStats) {
		now.WaitingSeconds += s.WaitingSeconds
		if now.Waiting += s.Waiting; s.Waiting > 0 {
			asked = at
		}
	})
	if err != nil || now.Waiting == 0 {
		return time.Time{}, false, err
	}
	held := (now.WaitingSeconds - before.WaitingSeconds) / float64(now.Waiting)
	return asked.Add(-time.Duration(held * float64(time.Second))), true, nil
}

// each gives what every activator has counted of a route, and when by its clock.
func (a *Activators) each(ctx context.Context, namespace, route string, do func(at time.Time, s RouteStats)) error {
	for _, address := range a.addresses {
		var answer struct {
			Now    int64 `json:"now"`
			Routes []struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
				RouteStats
			} `json:"routes"`
		}
		if err := getJSON(ctx, a.client, "http://"+address+"/stats", &answer); err != nil {
			return fmt.Errorf("asking the activator at %s: %w", address, err)
		}
		for _, r := range answer.Routes {
			if r.Namespace == namespace && r.Name == route {
				do(time.Unix(0, answer.Now), r.RouteStats)
			}
		}
	}
	return nil
}

func getJSON(ctx context.Context, client *http.Client, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
