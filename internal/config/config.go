// Package config reads configuration files. A file is decoded over the defaults, so
// it need only say what differs, and a field that is not known is refused: a
// misspelt one would otherwise leave the default in force without a word.
package config

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// Validator reports every field that cannot be used.
type Validator interface{ Validate() error }

// Load reads the YAML file at path over defaults and validates the result. An empty
// path means the defaults.
func Load[T Validator](path string, defaults T) (T, error) {
	c := defaults
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return defaults, fmt.Errorf("reading the configuration: %w", err)
		}
		if err := yaml.UnmarshalStrict(data, &c); err != nil {
			return defaults, fmt.Errorf("decoding %s: %w", path, err)
		}
	}
	if err := c.Validate(); err != nil {
		return defaults, fmt.Errorf("checking the configuration: %w", err)
	}
	return c, nil
}
