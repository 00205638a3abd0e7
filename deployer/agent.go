package deployer

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

const (
	// spoolVolume is where the agent keeps bodies of waiting requests.
	spoolVolume = "rawserve-agent-spool"
	// spoolSize is above what the agent allows itself, 1 GiB: a pod that exceeds it
	// is evicted.
	spoolSize = "1536Mi"
)

// addAgent adds the agent as a native sidecar and has it drain the pod before the
// server is stopped.
//
// It comes first among the init containers. Each of them costs a round of
// kubelet's, wherever it stands, but so the round is over before the download and
// not between download and server, and activators can ask the pod from the
// beginning. It has no startup probe, which would hold up everything behind it
// for up to a second.
func (w *workload) addAgent() error {
	if !w.agent {
		return nil
	}
	cfg := w.in.Config.Agent
	grace, err := w.grace()
	if err != nil {
		return err
	}
	always, user := corev1.ContainerRestartPolicyAlways, int64(65532)
	c := corev1.Container{
		Name:            AgentContainer,
		Image:           cfg.Image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{"/app/agent"},
		RestartPolicy:   &always,
		Resources:       *cfg.Resources.DeepCopy(),
		SecurityContext: restricted(&user, true),
		ReadinessProbe: &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Path: "/healthz", Port: intstr.FromInt32(AgentAdminPort), Scheme: corev1.URISchemeHTTP,
			}},
			TimeoutSeconds: 1, PeriodSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
		},
	}
	for _, p := range w.ports {
		if p.AgentPort != 0 {
			c.Args = append(c.Args, fmt.Sprintf("--forward=%d:%d", p.AgentPort, p.ServerPort))
			name := "agent-port"
			if len(c.Ports) > 0 {
				name = fmt.Sprintf("agent-port-%d", len(c.Ports)+1)
			}
			c.Ports = append(c.Ports, corev1.ContainerPort{Name: name, ContainerPort: p.AgentPort, Protocol: corev1.ProtocolTCP})
		}
	}
	c.Ports = append(c.Ports, corev1.ContainerPort{Name: "agent-admin", ContainerPort: AgentAdminPort, Protocol: corev1.ProtocolTCP})
	c.Args = append(c.Args, fmt.Sprintf("--admin-port=%d", AgentAdminPort))
	if w.scaling.concurrency > 0 {
		c.Args = append(c.Args, fmt.Sprintf("--container-concurrency=%d", w.scaling.concurrency))
		// Requests wait for their turn, and long bodies do so on disk.
		limit := resource.MustParse(spoolSize)
		err = w.addVolume(source{Field: "the agent"}, corev1.Volume{Name: spoolVolume, VolumeSource: corev1.VolumeSource{
			EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &limit},
		}})
		if err != nil {
			return err
		}
		c.VolumeMounts = []corev1.VolumeMount{{Name: spoolVolume, MountPath: "/tmp"}}
	}
	// The drain must end before the grace period does, or the server is killed
	// without having been asked to stop.
	if timeout := grace - cfg.DrainReserve.Duration; timeout > 0 {
		c.Args = append(c.Args,
			"--drain-quiet="+min(cfg.DrainQuiet.Duration, timeout).String(),
			"--drain-timeout="+timeout.String())
		w.drainBeforeStop()
	} else {
		w.warn("spec.predictor.terminationGracePeriodSeconds", "%s leaves no time to drain: requests in a stopping pod may be cut off; use more than %s", grace, cfg.DrainReserve.Duration)
	}
	probe, err := w.agentProbe()
	if err != nil {
		return err
	}
	if probe != "" {
		c.Env = append(c.Env, corev1.EnvVar{Name: "RAWSERVE_READINESS_PROBE", Value: probe})
	}
	w.template.Spec.InitContainers = slices.Insert(w.template.Spec.InitContainers, 0, c)
	return nil
}

// grace is the pods' termination grace period. Where the user gives none it is long
// enough for the longest request: Kubernetes' 30 seconds would cut a generation of
// a minute whenever its pod is scaled down.
func (w *workload) grace() (time.Duration, error) {
	seconds := w.template.Spec.TerminationGracePeriodSeconds
	if seconds == nil {
		longest := int64(0)
		if t := w.predictor.TimeoutSeconds; t != nil {
			longest = min(*t, math.MaxInt32) // what is beyond is refused with the route
		}
		value := w.in.Config.Agent.grace(time.Duration(longest) * time.Second)
		seconds = &value
		w.template.Spec.TerminationGracePeriodSeconds = seconds
		w.restartSoon()
	}
	if *seconds < 0 {
		return 0, invalid("spec.predictor.terminationGracePeriodSeconds", "%d is negative", *seconds)
	}
	return time.Duration(min(*seconds, math.MaxInt32)) * time.Second, nil
}

// restartGrace is the grace period of a container that is restarted because a probe
// failed, in seconds: Kubernetes' default for pods.
const restartGrace = 30

// restartSoon keeps the pod's grace period from holding up the restart of a server
// that hangs: the requests in it do not end, so neither does the drain.
func (w *workload) restartSoon() {
	for i := range w.template.Spec.Containers {
		c := &w.template.Spec.Containers[i]
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.StartupProbe} {
			if p != nil && p.TerminationGracePeriodSeconds == nil {
				seconds := int64(restartGrace)
				p.TerminationGracePeriodSeconds = &seconds
			}
		}
	}
}

// drainBeforeStop has kubelet wait for the agent before it stops the containers
// that requests pass. Containers with a hook of their own keep it.
func (w *workload) drainBeforeStop() {
	for _, c := range w.models() {
		if c.Lifecycle == nil {
			c.Lifecycle = &corev1.Lifecycle{}
		}
		if c.Lifecycle.PreStop != nil {
			w.warn(w.field(c.Name, "lifecycle.preStop"), "the hook replaces the drain: requests may still be in the pod when %s is stopped; have the hook call http://127.0.0.1:%d/drain", c.Name, AgentAdminPort)
			continue
		}
		c.Lifecycle.PreStop = &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: "/drain", Port: intstr.FromInt32(AgentAdminPort), Scheme: corev1.URISchemeHTTP,
		}}
	}
}

// agentProbe is the server's readiness probe as JSON, for the agent to run. It is
// empty where the agent cannot run it: a command, or two containers that must both
// be ready. Then kubelet's word counts.
func (w *workload) agentProbe() (string, error) {
	if w.container(v1beta1.ContainerTransformer) != nil {
		return "", nil
	}
	c := w.server()
	p := c.ReadinessProbe.DeepCopy()
	var port *intstr.IntOrString
	switch {
	case p.HTTPGet != nil:
		port = &p.HTTPGet.Port
	case p.TCPSocket != nil:
		port = &p.TCPSocket.Port
	case p.GRPC != nil:
	default:
		return "", nil
	}
	if port != nil && port.Type == intstr.String {
		// The agent knows no names of ports.
		i := slices.IndexFunc(c.Ports, func(o corev1.ContainerPort) bool { return o.Name == port.StrVal })
		if i < 0 {
			return "", invalid(w.field(c.Name, "readinessProbe"), "the container has no port named %q; name one so, or give the number", port.StrVal)
		}
		*port = intstr.FromInt32(c.Ports[i].ContainerPort)
	}
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encoding the readiness probe: %w", err)
	}
	return string(b), nil
}
