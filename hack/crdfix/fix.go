package main

import (
	"fmt"
)

// fix changes one CRD in place.
func fix(crd map[string]any) error {
	spec, ok := crd["spec"].(map[string]any)
	if !ok {
		return fmt.Errorf("spec is missing")
	}
	versions, ok := spec["versions"].([]any)
	if !ok || len(versions) == 0 {
		return fmt.Errorf("spec.versions is missing")
	}
	for i, v := range versions {
		schema, ok := dig(v, "schema", "openAPIV3Schema", "properties", "spec")
		if !ok {
			return fmt.Errorf("spec.versions[%d] has no schema of spec", i)
		}
		if err := rejectsUnknown(schema, "spec"); err != nil {
			return err
		}
		relaxProbes(schema, "")
		boundContainers(schema, "")
	}
	return nil
}

// Bounds that make CEL rules over containers and their environment affordable:
// the API server refuses rules whose worst case it cannot bound. A container's
// name is a DNS label in Kubernetes too; the others are far beyond what is used.
const (
	maxContainerName = 63
	maxEnv           = 1000
	maxEnvName       = 256
)

// boundContainers bounds names of containers and environment variables.
func boundContainers(node map[string]any, name string) {
	if env, ok := dig(node, "properties", "env"); ok && env["type"] == "array" {
		env["maxItems"] = maxEnv
		if n, ok := dig(env, "items", "properties", "name"); ok {
			n["maxLength"] = maxEnvName
		}
	}
	if n, ok := dig(node, "items", "properties", "name"); ok && (name == "containers" || name == "initContainers") {
		n["maxLength"] = maxContainerName
	}
	if properties, ok := node["properties"].(map[string]any); ok {
		for key, child := range properties {
			if c, ok := child.(map[string]any); ok {
				boundContainers(c, key)
			}
		}
	}
	if items, ok := node["items"].(map[string]any); ok {
		boundContainers(items, "")
	}
}

// relaxProbes drops the requirement of a port from the probes of containers.
// Knative forbids the port there and takes the container's own; manifests
// written for it therefore have probes without one.
func relaxProbes(node map[string]any, name string) {
	if properties, ok := node["properties"].(map[string]any); ok {
		for key, child := range properties {
			c, ok := child.(map[string]any)
			if !ok {
				continue
			}
			if isProbe(name) && (key == "httpGet" || key == "tcpSocket") {
				delete(c, "required")
			}
			relaxProbes(c, key)
		}
	}
	if items, ok := node["items"].(map[string]any); ok {
		relaxProbes(items, "")
	}
}

func isProbe(name string) bool {
	return name == "livenessProbe" || name == "readinessProbe" || name == "startupProbe"
}

// rejectsUnknown makes sure that no part of the schema keeps unknown fields: a
// misspelt field would then be taken in silence.
func rejectsUnknown(node map[string]any, path string) error {
	if keep, _ := node["x-kubernetes-preserve-unknown-fields"].(bool); keep {
		return fmt.Errorf("%s preserves unknown fields: give it a type", path)
	}
	if node["type"] == "object" && node["properties"] == nil && node["additionalProperties"] == nil {
		// An empty object, such as preemption settings without fields, rejects everything.
		return nil
	}
	if properties, ok := node["properties"].(map[string]any); ok {
		for key, child := range properties {
			if c, ok := child.(map[string]any); ok {
				if err := rejectsUnknown(c, path+"."+key); err != nil {
					return err
				}
			}
		}
	}
	if items, ok := node["items"].(map[string]any); ok {
		return rejectsUnknown(items, path+"[]")
	}
	return nil
}

func dig(node any, keys ...string) (map[string]any, bool) {
	for _, key := range keys {
		m, ok := node.(map[string]any)
		if !ok {
			return nil, false
		}
		node = m[key]
	}
	m, ok := node.(map[string]any)
	return m, ok
}
