package deployer

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// workload is a component while its pods are put together. Everything in it is
// its own: nothing is shared with the input.
type workload struct {
	in        Input
	isvc      *v1beta1.InferenceService
	predictor *v1beta1.PredictorSpec
	// model is nil for custom containers.
	model *v1beta1.ModelSpec
	name  string

	// labels and annotations are those of the objects; allAnnotations has those
	// too that are never copied.
	labels, annotations, allAnnotations map[string]string
	// template is the pods' template.
	template corev1.PodTemplateSpec
	sources  []source
	scaling  scaling
	ports    []ServicePort
	agent    bool
	// sameZone says that requests stay in their zone, zoneField that the Service says
	// so in its own field.
	sameZone, zoneField bool
	// knobs has Queue and Timeouts as annotations set them.
	knobs    rawservev1alpha1.InferenceRouteSpec
	warnings []Warning
}

// podSteps put the pods together, in this order. Platform steps add containers of
// ours; what they add does not make a new revision.
var podSteps = []struct {
	name     string
	platform bool
	do       func(*workload) error
}{
	{"merge metadata", false, (*workload).mergeMetadata},
	{"merge runtime", false, (*workload).mergeRuntime},
	{"find storage", false, (*workload).findStorage},
	{"server type", false, (*workload).serverTypeDefaults},
	{"expand templates", false, (*workload).expandTemplates},
	{"choose image", false, (*workload).chooseImage},
	{"mount storage", false, (*workload).mountStorage},
	{"container defaults", false, (*workload).containerDefaults},
	{"select accelerator", false, (*workload).selectAccelerator},
	{"read scaling", false, (*workload).readScaling},
	{"find ports", false, (*workload).findPorts},
	{"read zone", false, (*workload).readZone},
	{"read queue", false, (*workload).readQueue},
	{"label revision", true, (*workload).labelRevision},
	{"download storage", true, (*workload).downloadStorage},
	{"add agent", true, (*workload).addAgent},
}

// build runs the steps on a new workload. Without platform it stops before the
// steps that add containers of ours.
func build(in Input, platform bool) (*workload, error) {
	if in.Service == nil {
		return nil, fmt.Errorf("rendering without an InferenceService")
	}
	if in.Component != Predictor {
		return nil, &RenderError{ReasonNotSupported, "spec." + string(in.Component), "only predictors are served so far; remove the component"}
	}
	if err := checkNames(in.Service, in.Component); err != nil {
		return nil, err
	}
	if in.Service.Spec.Predictor.WorkerSpec != nil {
		// A head without workers would wait for them for ever, holding its GPUs.
		return nil, &RenderError{ReasonNotSupported, "spec.predictor.workerSpec", "models that span several nodes are not served yet; remove workerSpec and use a node with enough GPUs"}
	}
	isvc := in.Service.DeepCopy()
	w := &workload{
		in:        in,
		isvc:      isvc,
		predictor: &isvc.Spec.Predictor,
		model:     isvc.Spec.Predictor.Model,
		name:      Name(isvc, in.Component),
	}
	for _, step := range podSteps {
		if step.platform && !platform {
			continue
		}
		if err := step.do(w); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *workload) warn(field, format string, args ...any) {
	w.warnings = append(w.warnings, Warning{Field: field, Message: fmt.Sprintf(format, args...)})
}

// container returns the container of that name, or nil.
func (w *workload) container(name string) *corev1.Container {
	for i := range w.template.Spec.Containers {
		if c := &w.template.Spec.Containers[i]; c.Name == name {
			return c
		}
	}
	return nil
}

// server is the container that runs the model. mergeRuntime makes sure that it exists.
func (w *workload) server() *corev1.Container { return w.container(v1beta1.ContainerServer) }

// front is the container that requests go to: a collocated transformer where
// there is one, the server otherwise.
func (w *workload) front() *corev1.Container {
	if c := w.container(v1beta1.ContainerTransformer); c != nil {
		return c
	}
	return w.server()
}

// models are the containers that see the model's files.
func (w *workload) models() []*corev1.Container {
	models := []*corev1.Container{w.server()}
	if c := w.container(v1beta1.ContainerTransformer); c != nil {
		models = append(models, c)
	}
	return models
}

// field is the path of a field of a container where the user writes it.
func (w *workload) field(container, name string) string {
	if w.model != nil && container == v1beta1.ContainerServer {
		return "spec.predictor.model." + name
	}
	return "spec.predictor.containers[" + container + "]." + name
}

// labelRevision marks the pods with their revision.
func (w *workload) labelRevision() error {
	if w.in.Revision.Name == "" {
		return nil
	}
	w.template.Labels[LabelRevision] = w.in.Revision.Name
	return nil
}
