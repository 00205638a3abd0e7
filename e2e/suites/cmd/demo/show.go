package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/rawserve/rawserve/e2e/suites/harness"
	"github.com/rawserve/rawserve/e2e/suites/load"
)

const (
	demoNamespace  = "rawserve-demo"
	storeNamespace = "model-store"
	model          = "sklearn-iris"
	deployment     = model + "-predictor"
)

// flowers are two rows of the iris data set, of the classes 0 (setosa) and 2 (virginica).
const flowers = `{"inputs":[{"name":"flowers","shape":[2,4],"datatype":"FP64","data":[[5.1,3.5,1.4,0.2],[6.7,3.0,5.2,2.3]]}]}`

var wanted = []int{0, 2}

func show(ctx context.Context, env *harness.Env) error {
	if err := env.StartModelStore(ctx); err != nil {
		return err
	}
	if err := env.EnsureNamespace(ctx, demoNamespace); err != nil {
		return err
	}
	manifest := filepath.Join(env.Root(), "manifests", "samples", "sklearn-iris.yaml")
	env.Say("\nkubectl apply -f manifests/samples/sklearn-iris.yaml")
	if _, err := env.Kubectl(ctx, "apply", "-n", demoNamespace, "-f", manifest); err != nil {
		return err
	}
	env.Say("waiting until the model was loaded once and is ready")
	if _, err := env.WaitReady(ctx, demoNamespace, model, 5*time.Minute); err != nil {
		return err
	}
	if err := waitForZero(ctx, env); err != nil {
		return err
	}
	if err := fromZero(ctx, env); err != nil {
		return err
	}
	if err := underLoad(ctx, env); err != nil {
		return err
	}
	if err := waitForZero(ctx, env); err != nil {
		return err
	}
	whatNext(env)
	return nil
}

func waitForZero(ctx context.Context, env *harness.Env) error {
	env.Say("nobody asks: waiting until it is at zero")
	if _, err := env.WaitReplicas(ctx, demoNamespace, deployment, 0, 5*time.Minute); err != nil {
		return err
	}
	out, err := env.Kubectl(ctx, "get", "inferenceservice,scaler,deployment", "-n", demoNamespace)
	if err != nil {
		return err
	}
	fmt.Println(out)
	return nil
}

// fromZero sends a request while no pod runs and prints what happened when.
func fromZero(ctx context.Context, env *harness.Env) error {
	url := harness.PredictorURL(demoNamespace, model) + "/v2/models/" + model + "/infer"
	env.Say("POST %s\n  %s", url, flowers)
	timeline, err := env.WatchStart(ctx, demoNamespace, deployment)
	if err != nil {
		return err
	}
	began := time.Now()
	classes, err := predict(ctx, env.HTTPClient(false), url)
	firstByte := time.Now()
	events := timeline.Stop()
	if err != nil {
		return err
	}
	fmt.Printf("\n  predicted classes %v\n\n", classes)
	if !slices.Equal(classes, wanted) {
		return fmt.Errorf("the model predicted %v where %v is right", classes, wanted)
	}
	answered, err := env.ServerAnswered(ctx, timeline)
	if err != nil {
		return err
	}
	events = append(append(events, answered...), harness.Event{At: firstByte, What: "first byte of the answer"})
	slices.SortStableFunc(events, func(a, b harness.Event) int { return a.At.Compare(b.At) })
	fmt.Println("  from zero, seconds after the request was sent:")
	for _, e := range events {
		fmt.Printf("  %8.3f  %s\n", e.At.Sub(began).Seconds(), e.What)
	}
	fmt.Println()
	return nil
}

// predict asks for the classes of flowers.
func predict(ctx context.Context, client *http.Client, url string) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(flowers))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the model: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the model answered %d: %s", resp.StatusCode, body)
	}
	var answer struct {
		Outputs []struct {
			Data []int `json:"data"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Outputs) == 0 {
		return nil, fmt.Errorf("the answer is no V2 inference response: %s (%w)", body, err)
	}
	return answer.Outputs[0].Data, nil
}

// underLoad sends more than one replica is to carry and waits for more of them.
func underLoad(ctx context.Context, env *harness.Env) error {
	env.Say("24 clients for 40 s: the scale follows")
	url := harness.PredictorURL(demoNamespace, model) + "/v2/models/" + model + "/infer"
	done := make(chan load.Result, 1)
	go func() {
		done <- load.Run(ctx, load.Options{Client: env.HTTPClient(true), Clients: 24, Duration: 40 * time.Second,
			Request: func(ctx context.Context, _ int64) (*http.Request, error) {
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(flowers))
				if err == nil {
					req.Header.Set("Content-Type", "application/json")
				}
				return req, err
			}})
	}()
	_, scaleErr := env.WaitDeployment(ctx, demoNamespace, deployment, "be scaled up", 45*time.Second,
		func(d *appsv1.Deployment) bool { return d.Spec.Replicas != nil && *d.Spec.Replicas > 1 })
	result := <-done
	fmt.Println("  " + result.String())
	if scaleErr != nil {
		return scaleErr
	}
	if len(result.Failures) > 0 {
		return fmt.Errorf("%d requests failed", len(result.Failures))
	}
	out, err := env.Kubectl(ctx, "get", "scaler", "-n", demoNamespace, "-o", "wide")
	if err != nil {
		return err
	}
	fmt.Println(out)
	return nil
}

func whatNext(env *harness.Env) {
	fmt.Fprintf(os.Stdout, `What to try next:
  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl get isvc,scaler,inferenceroute -A
  kubectl describe scaler %s -n %s        # every decision with its reasons
  kubectl get --raw /apis/custom.metrics.k8s.io/v1beta2/namespaces/%s/scalers.rawserve.dev/%s/inference_concurrency
  kubectl apply -f manifests/samples/custom-container.yaml
  make demo-down                      # removes what the demo made
`, env.Target.Kubeconfig, filepath.Dir(env.Target.Kubectl), deployment, demoNamespace, demoNamespace, deployment)
}
