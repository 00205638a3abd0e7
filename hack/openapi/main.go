//go:build ignore

// Command openapi prints, as an OpenAPI document, the definitions that openapi-gen
// wrote beside it. hack/generate.sh runs the two as one and removes the definitions.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/util"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

func main() {
	definitions := spec.Definitions{}
	for name, d := range GetOpenAPIDefinitions(ref) {
		schema := d.Schema
		// Types that are an integer or text have a schema for each version of OpenAPI.
		if v2, ok := schema.Extensions[common.ExtensionV2Schema].(spec.Schema); ok {
			schema = v2
		}
		definitions[util.ToRESTFriendlyName(name)] = schema
	}
	document := spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger: "2.0", Info: &spec.Info{InfoProps: spec.InfoProps{Title: "rawserve", Version: "0"}},
		Paths: &spec.Paths{}, Definitions: definitions,
	}}
	if err := json.NewEncoder(os.Stdout).Encode(document); err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}

func ref(name string) spec.Ref {
	return spec.MustCreateRef("#/definitions/" + common.EscapeJsonPointer(util.ToRESTFriendlyName(name)))
}
