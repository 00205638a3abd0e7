package deployer

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// mergeRuntime makes the pod: for a model, the runtime's with the user's settings
// over it; otherwise the user's own containers. Order of containers: server,
// collocated transformer, the runtime's others, the user's others.
func (w *workload) mergeRuntime() error {
	user, err := convert[corev1.PodSpec](w.predictor.PodSpec)
	if err != nil {
		return fmt.Errorf("converting spec.predictor: %w", err)
	}
	if user.ServiceAccountName == "" {
		user.ServiceAccountName = user.DeprecatedServiceAccount
	}
	user.DeprecatedServiceAccount = ""
	if w.model == nil {
		w.template.Spec = user
		err = w.nameServer()
	} else {
		err = w.mergeModel(user)
	}
	if err != nil {
		return err
	}
	w.orderContainers()
	if seen := duplicate(w.template.Spec.Containers); seen != "" {
		return invalid("spec.predictor.containers", "two containers are named %q; rename one", seen)
	}
	return nil
}

// nameServer names the server of a custom predictor: the only container, or a
// first one without a name.
func (w *workload) nameServer() error {
	c := w.template.Spec.Containers
	if len(c) == 1 || len(c) > 0 && c[0].Name == "" {
		c[0].Name = v1beta1.ContainerServer
	}
	if w.server() == nil {
		return invalid("spec.predictor.containers", "none of the containers is named %s; give the one that serves the model this name, or set model", v1beta1.ContainerServer)
	}
	if w.server().Image == "" {
		return invalid(w.field(v1beta1.ContainerServer, "image"), "a custom container needs an image")
	}
	return nil
}

func (w *workload) mergeModel(user corev1.PodSpec) error {
	runtime := w.in.Runtime
	if runtime == nil {
		return &RenderError{ReasonNoSupportingRuntime, "spec.predictor.model", "no runtime was chosen for the model"}
	}
	if slices.ContainsFunc(user.Containers, func(c corev1.Container) bool { return c.Name == v1beta1.ContainerServer }) {
		return invalid("spec.predictor.containers["+v1beta1.ContainerServer+"]", "the container of a model comes from the runtime; move the settings to spec.predictor.model")
	}
	base := runtimePod(runtime.Spec.ServingRuntimePodSpec)
	i := slices.IndexFunc(base.Containers, func(c corev1.Container) bool { return c.Name == v1beta1.ContainerServer })
	if i < 0 {
		return w.runtimeInvalid("spec.containers", "no container is named %s", v1beta1.ContainerServer)
	}
	server, err := mergeContainer(base.Containers[i], w.model.Core())
	if err != nil {
		return invalid("spec.predictor.model", "cannot be merged with the container of runtime %q: %v", runtime.Ref.Name, err)
	}
	if server.Image == "" {
		return w.runtimeInvalid("spec.containers["+v1beta1.ContainerServer+"].image", "it is empty")
	}
	pod, err := strategicMerge(base, user)
	if err != nil {
		return invalid("spec.predictor", "cannot be merged with runtime %q: %v", runtime.Ref.Name, err)
	}
	for i, c := range pod.Containers {
		if c.Name == v1beta1.ContainerServer {
			pod.Containers[i] = server
		}
	}
	pod.Volumes = replaceByName(pod.Volumes, user.Volumes, func(v corev1.Volume) string { return v.Name })
	w.template.Spec = pod
	return nil
}

func (w *workload) runtimeInvalid(field, format string, args ...any) error {
	return &RenderError{ReasonRuntimeInvalid, "spec.predictor.model.runtime", fmt.Sprintf("runtime %q cannot be used: %s: %s; correct the runtime or name another",
		w.in.Runtime.Ref.Name, field, fmt.Sprintf(format, args...))}
}

func runtimePod(r v1alpha1.ServingRuntimePodSpec) corev1.PodSpec {
	r = *r.DeepCopy()
	return corev1.PodSpec{
		Containers:       r.Containers,
		Volumes:          r.Volumes,
		NodeSelector:     r.NodeSelector,
		Affinity:         r.Affinity,
		Tolerations:      r.Tolerations,
		ImagePullSecrets: r.ImagePullSecrets,
		HostIPC:          r.HostIPC,
		SchedulerName:    r.SchedulerName,
		ResourceClaims:   r.ResourceClaims,
	}
}

// mergeContainer merges a model's container over the runtime's. Arguments are
// concatenated. A field of which only one variant may be set (a variable's value
// or its source, a probe's handler) is taken from the user as a whole, where a
// strategic merge would leave both.
func mergeContainer(base, user corev1.Container) (corev1.Container, error) {
	user.Name = base.Name
	merged, err := strategicMerge(base, user)
	if err != nil {
		return corev1.Container{}, err
	}
	merged.Args = slices.Concat(base.Args, user.Args)
	merged.Env = mergeEnv(base.Env, user.Env)
	for _, p := range []struct{ merged, user *corev1.Probe }{
		{merged.ReadinessProbe, user.ReadinessProbe},
		{merged.LivenessProbe, user.LivenessProbe},
		{merged.StartupProbe, user.StartupProbe},
	} {
		if p.user != nil && p.user.ProbeHandler != (corev1.ProbeHandler{}) {
			p.merged.ProbeHandler = p.user.ProbeHandler
		}
	}
	if user.Lifecycle != nil {
		if user.Lifecycle.PreStop != nil {
			merged.Lifecycle.PreStop = user.Lifecycle.PreStop
		}
		if user.Lifecycle.PostStart != nil {
			merged.Lifecycle.PostStart = user.Lifecycle.PostStart
		}
	}
	return merged, nil
}

// mergeEnv keeps the order of base, replaces values by name and appends what is
// new, so that a later variable may refer to an earlier one. It also removes
// duplicates, which server-side apply refuses: the last value wins, as in a container.
func mergeEnv(base, user []corev1.EnvVar) []corev1.EnvVar {
	var merged []corev1.EnvVar
	for _, e := range slices.Concat(base, user) {
		if i := slices.IndexFunc(merged, func(m corev1.EnvVar) bool { return m.Name == e.Name }); i >= 0 {
			merged[i] = e
		} else {
			merged = append(merged, e)
		}
	}
	return merged
}

// orderContainers puts server and transformer first. The others keep the order
// in which the merge left them.
func (w *workload) orderContainers() {
	fromRuntime := map[string]bool{}
	if w.model != nil {
		for _, c := range w.in.Runtime.Spec.Containers {
			fromRuntime[c.Name] = true
		}
	}
	rank := func(c corev1.Container) int {
		switch {
		case c.Name == v1beta1.ContainerServer:
			return 0
		case c.Name == v1beta1.ContainerTransformer:
			return 1
		case fromRuntime[c.Name]:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(w.template.Spec.Containers, func(a, b corev1.Container) int { return rank(a) - rank(b) })
}

func duplicate(containers []corev1.Container) string {
	seen := map[string]bool{}
	for _, c := range containers {
		if seen[c.Name] {
			return c.Name
		}
		seen[c.Name] = true
	}
	return ""
}

func replaceByName[T any](merged, user []T, name func(T) string) []T {
	for i, m := range merged {
		for _, u := range user {
			if name(u) == name(m) {
				merged[i] = u
			}
		}
	}
	return merged
}

// strategicMerge merges patch over base by the rules of kubectl: lists with a
// merge key by that key, others as a whole.
func strategicMerge[T any](base, patch T) (T, error) {
	var merged T
	b, err := json.Marshal(base)
	if err != nil {
		return merged, fmt.Errorf("encoding: %w", err)
	}
	tree, err := convert[any](patch)
	if err != nil {
		return merged, err
	}
	// In a patch a null deletes, and an empty list of a typed value is a null.
	p, err := json.Marshal(pruned(tree))
	if err != nil {
		return merged, fmt.Errorf("encoding: %w", err)
	}
	m, err := strategicpatch.StrategicMergePatch(b, p, merged)
	if err != nil {
		return merged, fmt.Errorf("merging: %w", err)
	}
	if err := json.Unmarshal(m, &merged); err != nil {
		return merged, fmt.Errorf("decoding: %w", err)
	}
	return merged, nil
}

// convert turns a value into another type of the same JSON.
func convert[T any](from any) (T, error) {
	var to T
	b, err := json.Marshal(from)
	if err != nil {
		return to, fmt.Errorf("encoding: %w", err)
	}
	if err := json.Unmarshal(b, &to); err != nil {
		return to, fmt.Errorf("decoding: %w", err)
	}
	return to, nil
}
