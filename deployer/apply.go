package deployer

import (
	"encoding/json"
	"fmt"

	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
)

// applied turns a typed value into the apply-configuration of the same JSON,
// without what a typed value writes although nobody set it: to apply a field is to
// own it.
func applied[T any](value any) (*T, error) {
	tree, err := convert[any](value)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(pruned(tree))
	if err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	to := new(T)
	if err := json.Unmarshal(b, to); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	return to, nil
}

// pruned removes nulls, and structs without omitempty that hold nothing. An empty
// object elsewhere may mean something: emptyDir is one.
func pruned(node any) any {
	switch n := node.(type) {
	case map[string]any:
		for k, v := range n {
			if m, ok := v.(map[string]any); v == nil || ok && len(m) == 0 && (k == "resources" || k == "strategy") {
				delete(n, k)
				continue
			}
			n[k] = pruned(v)
		}
	case []any:
		for i := range n {
			n[i] = pruned(n[i])
		}
	}
	return node
}

// ownerRef makes the InferenceService the controller of an object.
func (w *workload) ownerRef() *metav1ac.OwnerReferenceApplyConfiguration {
	o := w.owner()
	return metav1ac.OwnerReference().
		WithAPIVersion(o.APIVersion).
		WithKind(o.Kind).
		WithName(o.Name).
		WithUID(o.UID).
		WithController(*o.Controller).
		WithBlockOwnerDeletion(*o.BlockOwnerDeletion)
}

// revisionLabels are the labels of objects that belong to the revision.
func (w *workload) revisionLabels() map[string]string {
	labels := copyMap(w.labels)
	labels[LabelRevision] = w.in.Revision.Name
	return labels
}
