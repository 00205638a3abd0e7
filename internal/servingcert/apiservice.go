package servingcert

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

var apiServices = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}

// APIServices publishes a CA bundle in APIServices that point to a Service of
// ours. An API group has one backend in a cluster: an APIService that points
// elsewhere belongs to somebody else and is left alone.
type APIServices struct {
	// Client reads and patches the APIServices.
	Client dynamic.Interface
	// Names of the APIServices.
	Names []string
	// Service they must point to.
	Service types.NamespacedName
	// Report, if set, is told of each APIService whether it is ours.
	Report func(name string, ours bool)
	// Log gets changes of that. Default: slog.Default.
	Log *slog.Logger

	mu   sync.Mutex // guards said
	said map[string]string
}

// Publish writes the bundle where it differs.
func (a *APIServices) Publish(ctx context.Context, caBundle []byte) error {
	var errs []error
	for _, name := range a.Names {
		obj, err := a.Client.Resource(apiServices).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			errs = append(errs, fmt.Errorf("reading apiservice %s, which rawserve's manifests make: %w", name, err))
			continue
		}
		foreign := a.foreign(obj)
		a.say(name, foreign)
		if foreign != "" {
			continue
		}
		if err := a.write(ctx, obj, caBundle); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// foreign says why an APIService is not ours to write, or nothing.
func (a *APIServices) foreign(obj *unstructured.Unstructured) string {
	name, _, _ := unstructured.NestedString(obj.Object, "spec", "service", "name")
	namespace, _, _ := unstructured.NestedString(obj.Object, "spec", "service", "namespace")
	insecure, _, _ := unstructured.NestedBool(obj.Object, "spec", "insecureSkipTLSVerify")
	switch {
	case name == "":
		return "it is served by the API server itself"
	case namespace != a.Service.Namespace || name != a.Service.Name:
		return fmt.Sprintf("it is served by service %s/%s. Remove that adapter, or take rawserve's metrics-adapter out and scale on other metrics.", namespace, name)
	case insecure:
		return "it has insecureSkipTLSVerify set, which forbids a CA bundle. Unset it."
	}
	return ""
}

// write patches the one field, on the version that was looked at: an APIService
// that changed hands in between is not touched.
func (a *APIServices) write(ctx context.Context, obj *unstructured.Unstructured, caBundle []byte) error {
	encoded, _, _ := unstructured.NestedString(obj.Object, "spec", "caBundle")
	if have, err := base64.StdEncoding.DecodeString(encoded); err == nil && bytes.Equal(have, caBundle) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": obj.GetResourceVersion()},
		"spec":     map[string]any{"caBundle": base64.StdEncoding.EncodeToString(caBundle)},
	})
	if err != nil {
		return fmt.Errorf("encoding a patch of apiservice %s: %w", obj.GetName(), err)
	}
	if _, err := a.Client.Resource(apiServices).Patch(ctx, obj.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("writing the CA bundle of apiservice %s: %w", obj.GetName(), err)
	}
	return nil
}

// say reports and logs whose an APIService is, the latter when it changes.
func (a *APIServices) say(name, foreign string) {
	if a.Report != nil {
		a.Report(name, foreign == "")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.said[name]; ok && last == foreign {
		return
	}
	if a.said == nil {
		a.said = map[string]string{}
	}
	a.said[name] = foreign
	log := a.Log
	if log == nil {
		log = slog.Default()
	}
	if foreign != "" {
		log.Warn("apiservice is not rawserve's, so its metrics are not", "apiservice", name, "why", foreign)
		return
	}
	log.Info("apiservice is served by rawserve", "apiservice", name)
}
