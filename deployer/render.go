package deployer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// Render turns an InferenceService's component into the objects that serve it.
// An error wraps a *RenderError wherever the user can cure it; nothing is to be
// changed in the cluster then.
func Render(in Input) (Objects, error) {
	if in.Service != nil && Stopped(in.Service) {
		return renderStopped(in)
	}
	w, err := build(in, true)
	if err != nil {
		return Objects{}, err
	}
	if problems := validation.IsDNS1035Label(in.Revision.Name); len(problems) > 0 {
		return Objects{}, fmt.Errorf("rendering %s: revision name %q: %s", w.name, in.Revision.Name, problems[0])
	}
	for _, name := range in.Credentials.Missing {
		if len(w.downloads()) == 0 {
			break
		}
		w.warn("serviceaccount["+ServiceAccountName(w.isvc)+"].secrets", "secret %q does not exist; downloads get no credentials from it", name)
	}
	o := Objects{
		Name:            w.name,
		InitialReplicas: w.scaling.initial,
		Service:         w.service(),
		RevisionService: w.revisionService(),
		Class:           w.scaling.class,
		Agent:           w.agent,
	}
	if o.Deployment, err = w.deployment(); err != nil {
		return Objects{}, err
	}
	if o.Route, err = w.route(false); err != nil {
		return Objects{}, err
	}
	switch w.scaling.class {
	case AutoscalerOwn:
		o.Scaler = w.scaler()
	case v1beta1.AutoscalerClassHPA:
		if o.HPA, err = w.hpa(); err != nil {
			return Objects{}, err
		}
	}
	o.Warnings = w.warnings
	return o, nil
}

// Stopped says whether the user stopped an InferenceService. Such a one can always
// be rendered: callers leave Runtime, Ports and Credentials empty where they cannot
// find them.
func Stopped(isvc *v1beta1.InferenceService) bool {
	return strings.EqualFold(strings.TrimSpace(isvc.Annotations[v1beta1.AnnotationStop]), "true")
}

// renderStopped keeps nothing but the route, if there can be one: a stopped
// InferenceService may well be one that cannot run.
func renderStopped(in Input) (Objects, error) {
	o := Objects{Name: Name(in.Service, in.Component), Stopped: true}
	w, err := build(in, true)
	var cause *RenderError
	if errors.As(err, &cause) {
		return o, nil
	} else if err != nil {
		return Objects{}, err
	}
	o.Class = w.scaling.class
	if o.Route, err = w.route(true); errors.As(err, &cause) {
		return o, nil
	} else if err != nil {
		return Objects{}, err
	}
	return o, nil
}

// RevisionHash identifies what makes a revision: everything that reaches the pods
// from the InferenceService and its runtime, what they download, and their
// concurrency limit. Bounds and targets of scaling do not count, nor do the
// containers that rawserve adds: installing another version of it makes no new
// revision of anybody's model. in needs neither Revision nor Ports.
func RevisionHash(in Input) (string, error) {
	in.Revision = Revision{}
	w, err := build(in, false)
	if err != nil {
		return "", err
	}
	// Of a storage spec the URI says little: the same path is another model under
	// another key or endpoint.
	type download struct {
		URI, MountPath string
		Secret, Key    string            `json:",omitempty"`
		Override       map[string]string `json:",omitempty"`
	}
	content := struct {
		Template    corev1.PodTemplateSpec
		Downloads   []download
		Concurrency int64
	}{Template: w.template, Concurrency: w.scaling.concurrency}
	for _, s := range w.downloads() {
		d := download{URI: s.URI, MountPath: s.MountPath, Override: s.Override}
		if s.Entry != nil {
			d.Secret, d.Key = s.Entry.Secret, s.Entry.Key
		}
		content.Downloads = append(content.Downloads, d)
	}
	b, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("hashing the pods of %s: %w", w.name, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}
