package deployer

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var someData = templateData{
	Name: "iris", Namespace: "models",
	Labels:      map[string]string{"modelClass": "A.B", "quoted": `a"b`},
	Annotations: map[string]string{"modelFormat": "sklearn"},
}

func TestTemplates(t *testing.T) {
	for text, want := range map[string]string{
		"no template":                                   "no template",
		"--model_name={{.Name}}":                        "--model_name=iris",
		"{{ .Namespace }}/{{ .Name }}":                  "models/iris",
		"{{.Labels.modelClass}}":                        "A.B",
		`{{index .Labels "modelClass"}}`:                "A.B",
		"{{.Labels.quoted}}":                            `a"b`,
		`{{printf "%s-%s" .Name .Namespace}}`:           "iris-models",
		`{{if .Labels.modelClass}}yes{{end}}`:           "yes",
		`{{"{{"}} messages }}`:                          "{{ messages }}",
		`{{with .Annotations.modelFormat}}{{.}}{{end}}`: "sklearn",
		// What is not there is false, as in KServe.
		`{{if .Labels.tier}}--tier={{.Labels.tier}}{{end}}`:     "",
		`{{if not .Labels.tier}}none{{else}}some{{end}}`:        "none",
		`{{with .Labels.tier}}--tier={{.}}{{else}}std{{end}}`:   "std",
		`{{or .Labels.tier "std"}}`:                             "std",
		`{{$t := or .Labels.tier .Labels.modelClass}}{{$t}}`:    "A.B",
		`{{if eq .Labels.tier "gold"}}a{{else}}b{{end}}`:        "b",
		`{{if and .Labels.tier .Labels.modelClass}}x{{end}}`:    "",
		`{{if .Labels.tier}}{{else if .Labels.quoted}}q{{end}}`: "q",
	} {
		got, err := expand(text, someData)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestTemplatesThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{{.Labels.team}}": ".Labels.team is not set; set the label or annotation",
		"{{.Name}}{{if .Name}}{{ .Labels.team }}{{end}}":     ".Labels.team is not set",
		"{{if .Labels.team}}{{else}}{{.Labels.team}}{{end}}": ".Labels.team is not set",
		"{{$t := .Labels.team}}{{$t}}":                       "$t is not set",
		`{{or .Labels.team .Labels.tier}}`:                   "or .Labels.team .Labels.tier is not set",
		`{{.Labels.team | printf "%s-x"}}`:                   "a value to be formatted is not set",
		`{{print .Labels.team}}`:                             "is not set",
		`{{if html .Labels.team}}x{{end}}`:                   "is not set",
		"{{.Nonsense}}":                                      "Nonsense",
		"{{.Name":                                            "unclosed action",
		"{{ messages }}":                                     `to write braces as they are`,
		"{{range 1000000000000}}{{end}}":                     "range cannot be used",
		`{{if true}}{{range .Labels}}{{end}}{{end}}`:         "range cannot be used",
		`{{define "a"}}{{end}}{{template "a"}}`:              "cannot be used",
		`{{printf "%999999999d" 1}}`:                         "printf cannot be used with widths",
		`{{printf "%*d" 1000000 1}}`:                         "printf cannot be used with widths",
		// Each assignment doubles the text: without a bound, 2^40 bytes.
		"{{$x := .Name}}" + strings.Repeat("{{$x = print $x $x}}", 40) + "{{$x}}": "larger than",
		strings.Repeat("{{.Name}}", 4000):                                         "longer than",
	} {
		_, err := expand(text, someData)
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"{{.Name}}", "{{index .Labels \"a\"}}", "{{$x := 1}}{{$x}}", "{{with .Name}}{{.}}{{else}}{{end}}", "{{", "}}{{{}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := expand(text, someData)
		if err != nil {
			require.Empty(t, got)
			return
		}
		require.LessOrEqual(t, len(got), max(maxExpanded, len(text)))
	})
}
