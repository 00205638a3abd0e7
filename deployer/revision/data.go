package revision

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// Data is what a revision was made from. With it a revision can be made again,
// after the runtime has changed or is gone.
type Data struct {
	// Predictor is the predictor after defaulting.
	Predictor v1beta1.PredictorSpec `json:"predictor"`
	// Runtime is the runtime as it was. Nil for custom containers.
	Runtime *deployer.ChosenRuntime `json:"runtime,omitempty"`
}

// Object returns the ControllerRevision that records data as a revision of the
// service's predictor.
func Object(isvc *v1beta1.InferenceService, rev deployer.Revision, hash string, data Data) (*appsv1.ControllerRevision, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding the data of revision %s: %w", rev.Name, err)
	}
	annotations := map[string]string{AnnotationHash: hash}
	if data.Runtime != nil {
		if annotations[AnnotationRuntime], err = runtimeText(rev.Name, data.Runtime.Ref); err != nil {
			return nil, err
		}
	}
	return &appsv1.ControllerRevision{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ControllerRevision"},
		ObjectMeta: metav1.ObjectMeta{
			Name:        rev.Name,
			Namespace:   isvc.Namespace,
			Annotations: annotations,
			Labels: map[string]string{
				v1beta1.LabelInferenceService: isvc.Name,
				v1beta1.LabelComponent:        string(v1beta1.ComponentPredictor),
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(isvc, v1beta1.SchemeGroupVersion.WithKind("InferenceService"))},
		},
		Data:     runtime.RawExtension{Raw: raw},
		Revision: rev.Number,
	}, nil
}

// Amendment is the merge patch that puts another choice of runtime into a record:
// the same runtime, chosen for another reason. Such a choice makes no pods of its
// own and therefore no revision, and has to be remembered all the same.
func Amendment(r Record, ref deployer.RuntimeRef) ([]byte, error) {
	text, err := runtimeText(r.Name, ref)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		// The API server refuses to change another object of the name.
		"uid":         r.UID,
		"annotations": map[string]string{AnnotationRuntime: text},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding the amendment of revision %s: %w", r.Name, err)
	}
	return patch, nil
}

func runtimeText(name string, ref deployer.RuntimeRef) (string, error) {
	text, err := json.Marshal(ref)
	if err != nil {
		return "", fmt.Errorf("encoding the runtime of revision %s: %w", name, err)
	}
	return string(text), nil
}

// ReadData returns what a revision was made from.
func ReadData(r *appsv1.ControllerRevision) (Data, error) {
	var d Data
	if err := json.Unmarshal(r.Data.Raw, &d); err != nil {
		return Data{}, fmt.Errorf("reading the data of revision %s: %w", r.Name, err)
	}
	return d, nil
}

// Frozen says whether a service is not to follow changes of its runtime: its user
// asked for that, and its latest revision has been ready. One that never was
// follows, because the change may be what makes it so. Conditions say less: they are
// False also for a moment's failure, or for a problem that the pods know nothing of.
func Frozen(isvc *v1beta1.InferenceService, latest *Record) bool {
	return isvc.Annotations[v1beta1.AnnotationDisableAutoUpdate] == "true" && latest != nil &&
		isvc.Status.Components[v1beta1.ComponentPredictor].LatestReadyRevision == latest.Name
}
