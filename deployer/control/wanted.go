package control

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/rawserve/rawserve/deployer"
)

// wanted is an object that is to be there.
type wanted struct {
	kind *kind
	// object is what is applied, without replicas unless they are ours to keep.
	object *unstructured.Unstructured
	// hash stands for object before it got its annotation with the hash.
	hash string
	// initialReplicas is what a Deployment is created with, and nothing more.
	initialReplicas *int32
}

// want turns an apply configuration into a wanted object.
func want(k *kind, config any) (wanted, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return wanted{}, fmt.Errorf("encoding a %s: %w", k.Kind, err)
	}
	// Numbers must come out as int64, as in objects read from the API server.
	content := map[string]any{}
	if err := utiljson.Unmarshal(text, &content); err != nil {
		return wanted{}, fmt.Errorf("decoding a %s: %w", k.Kind, err)
	}
	sum := sha256.Sum256(text)
	w := wanted{kind: k, object: &unstructured.Unstructured{Object: content}, hash: hex.EncodeToString(sum[:12])}
	annotations := w.object.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationApplied] = w.hash
	w.object.SetAnnotations(annotations)
	return w, nil
}

// deploymentFirst has the pods of a model that is there already change before its
// address does. Where the API server refuses the new Deployment, requests go on to
// the pods that serve.
func deploymentFirst(list []wanted) []wanted {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b wanted) int {
		switch {
		case a.kind == deploymentKind && b.kind != deploymentKind:
			return -1
		case b.kind == deploymentKind && a.kind != deploymentKind:
			return 1
		}
		return 0
	})
	return out
}

// wantedObjects lists what has to be there, in the order in which it is first made: the
// Service before the route that names it, and both before the pods, so that there
// is an address before anything can be ready; the scaler last, because it needs
// the Deployment.
func wantedObjects(o deployer.Objects) ([]wanted, error) {
	var out []wanted
	var errs error
	add := func(k *kind, present bool, config any) {
		if !present || errs != nil {
			return
		}
		w, err := want(k, config)
		if k == deploymentKind && o.Deployment.Spec.Replicas == nil {
			w.initialReplicas = &o.InitialReplicas
		}
		out, errs = append(out, w), err
	}
	add(serviceKind, o.Service != nil, o.Service)
	add(serviceKind, o.RevisionService != nil, o.RevisionService)
	add(routeKind, o.Route != nil, o.Route)
	add(deploymentKind, o.Deployment != nil, o.Deployment)
	add(scalerKind, o.Scaler != nil, o.Scaler)
	add(hpaKind, o.HPA != nil, o.HPA)
	return out, errs
}

// forCreation is the object as it is created.
func (w wanted) forCreation() (*unstructured.Unstructured, error) {
	object := w.object.DeepCopy()
	if w.initialReplicas != nil {
		if err := unstructured.SetNestedField(object.Object, int64(*w.initialReplicas), "spec", "replicas"); err != nil {
			return nil, fmt.Errorf("setting the first replicas of deployment %s: %w", object.GetName(), err)
		}
	}
	return object, nil
}

// appliesReplicas says whether a Deployment's replicas are part of what is applied.
func (w wanted) appliesReplicas() bool {
	return w.kind == deploymentKind && w.initialReplicas == nil
}
