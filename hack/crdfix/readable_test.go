package main

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"sigs.k8s.io/yaml"
)

// own decodes itself.
type own string

func (o *own) UnmarshalJSON([]byte) error { return nil }

func TestSchemasAreNarrowedToWhatTheirTypesRead(t *testing.T) {
	type inner struct {
		Ports map[string]intstr.IntOrString `json:"ports"`
	}
	type outer struct {
		inner  `json:",inline"`
		Wait   *metav1.Duration    `json:"wait"`
		Sizes  []resource.Quantity `json:"sizes"`
		Hidden own                 `json:"-"`
		Absent own                 `json:"absent"`
	}
	var node map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(`{type: object, properties: {
		ports: {type: object, additionalProperties: {x-kubernetes-int-or-string: true}},
		wait: {type: string},
		sizes: {type: array, items: {x-kubernetes-int-or-string: true, pattern: wider}}}}`), &node))
	require.NoError(t, readable(node, reflect.TypeFor[outer](), "spec"))
	var want map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(`{type: object, properties: {
		ports: {type: object, additionalProperties: {x-kubernetes-int-or-string: true, minimum: -2147483648, maximum: 2147483647}},
		wait: {type: string, minLength: 1, maxLength: 64, pattern: '`+durationPattern+`'},
		sizes: {type: array, items: {x-kubernetes-int-or-string: true, maxLength: 64, pattern: '`+quantityPattern+`'}}}}`), &want))
	require.Equal(t, asText(t, want), asText(t, node))
}

func TestATypeOfWhichNobodyKnowsWhatItReadsIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		value any
		node  string
		want  string
	}{
		"decoding itself":     {struct{ A own }{}, "{type: string}", "spec.A is a main.own"},
		"bytes":               {struct{ A []byte }{}, "{type: string}", "spec.A is a []uint8"},
		"a float":             {struct{ A float64 }{}, "{type: number}", "spec.A is a float64"},
		"anything":            {struct{ A any }{}, "{type: object, properties: {b: {}}}", "spec.A is a interface"},
		"an unbounded int32":  {struct{ A int32 }{}, "{type: integer}", "spec.A is an int32"},
		"another type":        {struct{ A []bool }{}, "{type: array, items: {type: string}}", "spec.A[] is a bool"},
		"a list of no schema": {struct{ A []bool }{}, "{type: array}", "spec.A[] has no schema"},
	} {
		t.Run(name, func(t *testing.T) {
			var node map[string]any
			require.NoError(t, yaml.Unmarshal([]byte("{type: object, properties: {A: "+test.node+"}}"), &node))
			require.ErrorContains(t, readable(node, reflect.TypeOf(test.value), "spec"), test.want)
		})
	}
}

// FuzzWhatPatternsTakeIsRead has the promise of each pattern.
func FuzzWhatPatternsTakeIsRead(f *testing.F) {
	for _, s := range []string{"0", "1h30m", "1.5µs", "999999h9999999m999999999s999999999ms999999999us999999999ns", "596523h14m7s",
		"1", "-1.5Gi", "1e999", ".5E-999", "+0e-1", "12E", "2020-02-29T23:59:59.5+05:30", "0000-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.123456-23:59"} {
		f.Add(s)
	}
	duration, quantity := regexp.MustCompile(durationPattern), regexp.MustCompile(quantityPattern)
	instant, micro := regexp.MustCompile(timePattern), regexp.MustCompile(microTimePattern)
	f.Fuzz(func(t *testing.T, s string) {
		read := func(takes bool, into any) {
			if !takes {
				return
			}
			raw, err := json.Marshal(s)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(raw, into))
			_, err = json.Marshal(into)
			require.NoError(t, err)
		}
		read(s != "" && duration.MatchString(s), &metav1.Duration{})
		read(len(s) <= maxText && quantity.MatchString(s), &resource.Quantity{})
		read(strfmt.IsDateTime(s) && instant.MatchString(s), &metav1.Time{})
		read(strfmt.IsDateTime(s) && micro.MatchString(s), &metav1.MicroTime{})
	})
}

func TestEveryWrittenDurationIsTaken(t *testing.T) {
	pattern := regexp.MustCompile(durationPattern)
	for _, s := range []string{"0s", "1h0m0s", "596523h14m7s", "1.5µs", "5ns", "999.999999ms"} {
		require.Regexp(t, pattern, s)
	}
	for _, s := range []string{"-1s", "1d", "9999999h", "5", strings.Repeat("1h", 2)} {
		require.NotRegexp(t, pattern, s)
	}
}
