package deployer

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// h2c marks ports that speak HTTP/2 without TLS, as gRPC does.
const h2c = "kubernetes.io/h2c"

// maxPorts is how many ports a route can have.
const maxPorts = 16

// ServicePorts lists the ports of the predictor's Service, so that the caller can
// allocate a listen port for each that is Routed before it calls Render. runtime
// is nil for custom containers.
func ServicePorts(isvc *v1beta1.InferenceService, runtime *ChosenRuntime, cfg Config) ([]ServicePort, error) {
	w, err := build(Input{Service: isvc, Component: Predictor, Runtime: runtime, Config: cfg, onlyPorts: true}, false)
	if err != nil {
		return nil, err
	}
	return w.ports, nil
}

// findPorts derives the Service's ports from those of the container that requests
// go to, and decides whether the pods get an agent.
func (w *workload) findPorts() error {
	w.agent = w.scaling.byRequests() || w.scaling.concurrency > 0
	front := w.front()
	if len(front.Ports) == 0 {
		w.ports = []ServicePort{{Name: w.name, Port: ServicePortHTTP, ServerPort: DefaultServerPort, Protocol: string(corev1.ProtocolTCP)}}
	}
	taken := map[int32]bool{}
	for i, p := range front.Ports {
		port := ServicePort{Name: p.Name, Port: p.ContainerPort, ServerPort: p.ContainerPort, Protocol: string(p.Protocol), AppProtocol: appProtocol(p.Name)}
		if i == 0 {
			port.Port = ServicePortHTTP
		}
		if taken[port.Port] {
			return invalid(w.field(front.Name, "ports"), "the Service's port %d is already that of another container port; list port %d first or leave it out", port.Port, port.ServerPort)
		}
		taken[port.Port] = true
		if port.Name == "" && len(front.Ports) > 1 {
			// A Service with several ports needs a name for each.
			port.Name = fmt.Sprintf("port-%d", port.Port)
		}
		w.ports = append(w.ports, port)
	}
	if len(w.ports) > maxPorts {
		return invalid(w.field(front.Name, "ports"), "%d ports are more than the %d that can be routed; leave some out", len(w.ports), maxPorts)
	}
	agentPort := int32(AgentPort)
	for i := range w.ports {
		p := &w.ports[i]
		p.TargetPort = p.ServerPort
		if w.agent && p.Routed() {
			p.AgentPort = agentPort
			if !w.in.AgentMissing {
				p.TargetPort = agentPort
			}
			agentPort = nextAgentPort(agentPort)
		}
	}
	if !w.agent {
		return nil
	}
	return w.checkAgentPorts(agentPort)
}

// nextAgentPort counts 9081, 9083, 9084, …: 9082 is the agent's admin port.
func nextAgentPort(p int32) int32 {
	if p++; p == AgentAdminPort {
		p++
	}
	return p
}

// checkAgentPorts keeps containers off the agent's ports, which are those below
// end and the admin port: all containers of a pod share one network.
func (w *workload) checkAgentPorts(end int32) error {
	spec := &w.template.Spec
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for _, c := range list {
			if c.Name == AgentContainer {
				return invalid("spec.predictor.containers["+AgentContainer+"]", "the name is needed for rawserve's agent; rename the container")
			}
			for _, p := range c.Ports {
				if p.ContainerPort == AgentAdminPort || p.ContainerPort >= AgentPort && p.ContainerPort < end {
					return invalid(w.field(c.Name, fmt.Sprintf("ports[%d]", p.ContainerPort)), "port %d is needed for rawserve's agent; let the server listen on another port", p.ContainerPort)
				}
			}
		}
	}
	return nil
}

// appProtocol is h2c for ports whose name says that they speak gRPC.
func appProtocol(name string) string {
	if strings.Contains(name, "grpc") || strings.Contains(name, "h2c") {
		return h2c
	}
	return ""
}
