package stage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/e2e/load"
)

// namespace has the routes and pods.
const namespace = "load"

func (s *Stage) startAgent(ctx context.Context) error {
	probe := fmt.Sprintf(`RAWSERVE_READINESS_PROBE={"httpGet":{"path":"/","port":%d}}`, backendPort)
	p, err := s.run(ctx, binAgent, []string{probe},
		fmt.Sprintf("--forward=%d:%d", agentPort, backendPort), fmt.Sprintf("--admin-port=%d", agentAdmin))
	if err != nil {
		return err
	}
	s.targets[load.Agent] = &target{http: local(agentPort), h2c: local(agentPort), parts: []*part{s.part(p)}}
	return p.listens(ctx, local(agentPort))
}

// startActivator starts the activator as its Deployment does, on two routes: to the
// server itself, and to the agent in front of it.
func (s *Stage) startActivator(ctx context.Context) error {
	if err := s.createRoutes(ctx); err != nil {
		return err
	}
	kubeconfig, err := s.kubeconfig()
	if err != nil {
		return err
	}
	// Over the defaults; the activator refuses what it does not know.
	config := fmt.Sprintf("adminPort: %d\nqueue: {spoolDir: %q}\nshutdown: {delay: 0s}\n", activatorAdmin, s.dir)
	file := filepath.Join(s.dir, "activator.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return fmt.Errorf("writing the activator's configuration: %w", err)
	}
	env, err := deploymentEnv("manifests/activator/deployment.yaml")
	if err != nil {
		return err
	}
	env = append(env, "KUBECONFIG="+kubeconfig, "POD_NAME=activator-0", "POD_NAMESPACE=rawserve-system")
	p, err := s.run(ctx, binActivator, env, "--config="+file)
	if err != nil {
		return err
	}
	mine := s.part(p)
	s.targets[load.Activator] = &target{http: local(activatorPort), h2c: local(activatorPort), parts: []*part{mine}}
	if agent := s.targets[load.Agent]; agent != nil {
		s.targets[load.Both] = &target{http: local(chainPort), h2c: local(chainPort), parts: append([]*part{mine}, agent.parts...)}
	}
	return p.listens(ctx, local(activatorPort))
}

// deploymentEnv has the plain variables of a Deployment's first container: what is
// measured runs with what is shipped.
func deploymentEnv(path string) ([]string, error) {
	root, err := Repository()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return nil, fmt.Errorf("reading the Deployment: %w", err)
	}
	var deployment struct {
		Spec struct {
			Template struct{ Spec corev1.PodSpec }
		}
	}
	if err := yaml.Unmarshal(raw, &deployment); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", path, err)
	}
	containers := deployment.Spec.Template.Spec.Containers
	if len(containers) == 0 {
		return nil, fmt.Errorf("%s has no container", path)
	}
	var env []string
	for _, e := range containers[0].Env {
		if e.ValueFrom == nil {
			env = append(env, e.Name+"="+e.Value)
		}
	}
	return env, nil
}

func (s *Stage) createRoutes(ctx context.Context) error {
	kube, err := kubernetes.NewForConfig(s.kube)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	routes, err := versioned.NewForConfig(s.kube)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := createNamespace(ctx, kube, namespace); err != nil {
		return err
	}
	for _, r := range []struct {
		name               string
		listen, port, asks int32
	}{
		{"bare", activatorPort, backendPort, 0},
		{"with-agent", chainPort, agentPort, agentAdmin},
	} {
		if err := createPod(ctx, kube, r.name); err != nil {
			return err
		}
		route := &v1alpha1.InferenceRoute{
			ObjectMeta: metav1.ObjectMeta{Name: r.name},
			Spec: v1alpha1.InferenceRouteSpec{
				ServiceName: r.name,
				Ports:       []v1alpha1.RoutePort{{ServicePort: 80, TargetPort: r.port, ListenPort: r.listen}},
				Targets: []v1alpha1.RouteTarget{{
					Revision: r.name, DeploymentName: r.name, Weight: 100, KeepScale: true, AgentPort: r.asks,
					PodSelector: map[string]string{"rawserve.dev/revision": r.name},
				}},
				Path: v1alpha1.PathActivatorOnly,
			},
		}
		if _, err := routes.RawserveV1alpha1().InferenceRoutes(namespace).Create(ctx, route, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating route %s: %w", r.name, err)
		}
	}
	return nil
}

func createNamespace(ctx context.Context, kube kubernetes.Interface, name string) error {
	_, err := kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating namespace %s: %w", name, err)
	}
	return nil
}

// createPod makes a pod that is ready at podIP. No kubelet contradicts it.
func createPod(ctx context.Context, kube kubernetes.Interface, name string) error {
	pods := kube.CoreV1().Pods(namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			"rawserve.dev/revision": name, "serving.kserve.io/inferenceservice": name,
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "server", Image: "none"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating pod %s: %w", name, err)
	}
	now := metav1.NewTime(time.Now())
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: podIP, PodIPs: []corev1.PodIP{{IP: podIP}}, StartTime: &now,
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}},
	}
	if _, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("making pod %s ready: %w", name, err)
	}
	return nil
}
