package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// A client reads the objects of a kind as one list, so that a single value which
// its Go type does not take keeps a controller from seeing any of them. The types
// of JSON schema are wider than several Go types; what follows narrows them.
const (
	// durationPattern is what metav1.Duration writes, and what people do: each unit
	// at most once, the larger ones first, none negative. All units at their longest
	// are 2.3 million hours, and time.Duration holds 2.5 million.
	durationPattern = `^(0|([0-9]{1,6}(\.[0-9]{1,9})?h)?([0-9]{1,7}(\.[0-9]{1,9})?m)?([0-9]{1,9}(\.[0-9]{1,9})?s)?([0-9]{1,9}(\.[0-9]{1,9})?ms)?([0-9]{1,9}(\.[0-9]{1,9})?[uµ]s)?([0-9]{1,9}ns)?)$`
	// quantityPattern differs from controller-gen's in the exponent: that one allows
	// 1e1.5, which resource.Quantity refuses, and 1e2147483647, which it would spell out.
	quantityPattern = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,3}))?$`
	// maxText is far beyond the characters that a duration or a quantity needs. With a
	// bound, the API server can tell what a rule about one costs.
	maxText = 64
	// timePattern adds to the format date-time, which also takes lower-case letters,
	// any character before the fraction, and any text behind a second T.
	timePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?` + zonePattern
	// microTimePattern has the six digits without which metav1.MicroTime reads nothing.
	microTimePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}` + zonePattern
	zonePattern      = `(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`
)

// narrow has the types that decode themselves, each with what is to be in its schema.
var narrow = map[reflect.Type]map[string]any{
	reflect.TypeFor[metav1.Duration]():    {"type": "string", "minLength": 1, "maxLength": maxText, "pattern": durationPattern},
	reflect.TypeFor[resource.Quantity]():  {"x-kubernetes-int-or-string": true, "maxLength": maxText, "pattern": quantityPattern},
	reflect.TypeFor[intstr.IntOrString](): {"x-kubernetes-int-or-string": true, "minimum": -1 << 31, "maximum": 1<<31 - 1},
	reflect.TypeFor[metav1.Time]():        {"type": "string", "format": "date-time", "pattern": timePattern},
	reflect.TypeFor[metav1.MicroTime]():   {"type": "string", "format": "date-time", "pattern": microTimePattern},
}

// fitToType narrows the schema of a CRD to what the Go type of its kind reads.
func fitToType(crd map[string]any) error {
	spec, _ := dig(crd, "spec")
	names, _ := dig(spec, "names")
	versions, _ := spec["versions"].([]any)
	if len(versions) != 1 {
		return fmt.Errorf("there are %d versions, and one is expected", len(versions))
	}
	version, _ := versions[0].(map[string]any)
	t, err := typeOf(schema.GroupVersionKind{Group: text(spec["group"]), Version: text(version["name"]), Kind: text(names["kind"])})
	if err != nil {
		return err
	}
	root, _ := dig(version, "schema", "openAPIV3Schema")
	return readable(root, t, "")
}

// typeOf returns the Go type of a kind.
func typeOf(kind schema.GroupVersionKind) (reflect.Type, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1beta1.AddToScheme, v1alpha1.AddToScheme, rawservev1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	object, err := scheme.New(kind)
	if err != nil {
		return nil, fmt.Errorf("finding the Go type: %w", err)
	}
	return reflect.TypeOf(object).Elem(), nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// readable narrows a schema to what its Go type reads. It fails on a type of which
// it does not know what that is.
func readable(node map[string]any, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if node["type"] == "object" && node["properties"] == nil && node["additionalProperties"] == nil {
		// Nothing is kept below it, or, for the object's own metadata, the API server
		// reads it by itself.
		return nil
	}
	if more, ok := narrow[t]; ok {
		for key, value := range more {
			node[key] = value
		}
		return nil
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return fmt.Errorf("%s is a %s, which decodes itself: say in narrow what it reads", path, t)
	}
	return readableKind(node, t, path)
}

// readableKind does it for a type that encoding/json decodes.
func readableKind(node map[string]any, t reflect.Type, path string) error {
	want := map[reflect.Kind]string{
		reflect.Bool: "boolean", reflect.String: "string", reflect.Int: "integer", reflect.Int64: "integer", reflect.Int32: "integer",
		reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object",
	}[t.Kind()]
	switch {
	case want == "" || t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return fmt.Errorf("%s is a %s: say in readableKind what it reads", path, t)
	case node["type"] != want:
		return fmt.Errorf("%s is a %s, and its schema is of type %v", path, t, node["type"])
	case t.Kind() == reflect.Int32 && node["format"] != "int32":
		return fmt.Errorf("%s is an int32, and its schema has no such format", path)
	}
	switch t.Kind() {
	case reflect.Slice:
		return readablePart(node["items"], t.Elem(), path+"[]")
	case reflect.Map:
		return readablePart(node["additionalProperties"], t.Elem(), path+"{}")
	case reflect.Struct:
		return readableFields(node, t, path)
	}
	return nil
}

func readablePart(part any, t reflect.Type, path string) error {
	node, ok := part.(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no schema", path)
	}
	return readable(node, t, path)
}

func readableFields(node map[string]any, t reflect.Type, path string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			if err := readableFields(node, f.Type, path); err != nil {
				return err
			}
			continue
		case name == "-" || !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		part, ok := dig(node, "properties", name)
		if !ok {
			// The API server drops what has no schema.
			continue
		}
		if err := readable(part, f.Type, path+"."+name); err != nil {
			return err
		}
	}
	return nil
}
