package deployer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"

	corev1 "k8s.io/api/core/v1"
)

// templateData is what templates in containers see of the InferenceService. It
// has no methods, so that a template can call none.
type templateData struct {
	Name, GenerateName, Namespace string
	UID                           string
	Generation                    int64
	Labels, Annotations           map[string]string
}

// expandTemplates executes the templates in the server's and the collocated
// transformer's container. Only pods that come from a runtime have templates: in
// a custom container braces are just braces.
func (w *workload) expandTemplates() error {
	if w.model == nil {
		return nil
	}
	// As in KServe, the InferenceService's own metadata comes first.
	labels, annotations := copyMap(w.labels), copyMap(w.allAnnotations)
	maps.Copy(labels, w.isvc.Labels)
	maps.Copy(annotations, w.isvc.Annotations)
	data := templateData{
		Name:         w.isvc.Name,
		GenerateName: w.isvc.GenerateName,
		Namespace:    w.isvc.Namespace,
		UID:          string(w.isvc.UID),
		Generation:   w.isvc.Generation,
		Labels:       labels,
		Annotations:  annotations,
	}
	for _, c := range w.models() {
		var tree any
		b, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("encoding container %s: %w", c.Name, err)
		}
		if !strings.Contains(string(b), "{{") {
			continue
		}
		if err := json.Unmarshal(b, &tree); err != nil {
			return fmt.Errorf("decoding container %s: %w", c.Name, err)
		}
		tree, err = expandTree(strings.TrimSuffix(w.field(c.Name, ""), "."), tree, data)
		if err != nil {
			return err
		}
		if *c, err = convert[corev1.Container](tree); err != nil {
			return invalid(w.field(c.Name, "args"), "the container's templates yield no valid container: %v", err)
		}
	}
	return nil
}

// expandTree executes every string of a JSON tree that holds a template. Each is
// executed alone: a label with a quote in it cannot break the document.
func expandTree(path string, node any, data templateData) (any, error) {
	var err error
	switch n := node.(type) {
	case map[string]any:
		for k, v := range n {
			if n[k], err = expandTree(path+"."+k, v, data); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, v := range n {
			if n[i], err = expandTree(fmt.Sprintf("%s[%d]", path, i), v, data); err != nil {
				return nil, err
			}
		}
	case string:
		s, err := expand(n, data)
		if err != nil {
			return nil, invalid(path, "template %q: %v", n, err)
		}
		return s, nil
	}
	return node, nil
}

// expand executes one template.
func expand(text string, data templateData) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	if len(text) > maxTemplate {
		return "", fmt.Errorf("it is longer than %d bytes; move it into a ConfigMap", maxTemplate)
	}
	t, err := template.New("").Option("missingkey=error").Funcs(boundedFuncs).Parse(text)
	if err != nil {
		return "", fmt.Errorf("%w; to write braces as they are, use {{\"{{\"}}", unwrapTemplate(err))
	}
	if len(t.Templates()) > 1 {
		return "", errors.New("define and block cannot be used here")
	}
	if t.Tree == nil {
		return "", nil
	}
	if err := allowed(t.Root); err != nil {
		return "", err
	}
	out := &boundedBuffer{}
	if err := t.Execute(out, data); err != nil {
		return "", fmt.Errorf("%w; set the label or annotation on the InferenceService", unwrapTemplate(err))
	}
	return out.String(), nil
}

// allowed refuses what could run for long. Whoever may create an
// InferenceService can write a template, and {{range 1000000000000}} would
// occupy the controller for days.
func allowed(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := allowed(c); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		return errors.Join(allowed(n.List), allowed(n.ElseList))
	case *parse.WithNode:
		return errors.Join(allowed(n.List), allowed(n.ElseList))
	case *parse.RangeNode:
		return errors.New("range cannot be used here")
	case *parse.TemplateNode:
		return errors.New("template cannot be used here")
	}
	return nil
}

// maxTemplate bounds what is parsed: the parser recurses.
const maxTemplate = 32 << 10

// maxExpanded bounds the result of a template and of each function in it.
const maxExpanded = 64 << 10

var errExpandsTooFar = fmt.Errorf("the result is larger than %d bytes", maxExpanded)

type boundedBuffer struct{ strings.Builder }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxExpanded {
		return 0, errExpandsTooFar
	}
	return b.Builder.Write(p)
}

// wideVerb is a formatting verb with a width or precision, which makes large
// results of small templates.
var wideVerb = regexp.MustCompile(`%[^a-zA-Z%]*[0-9*]`)

// boundedFuncs replace the built-in functions whose results can grow.
var boundedFuncs = template.FuncMap{
	"print":    func(args ...any) (string, error) { return bounded(fmt.Sprint(args...)) },
	"println":  func(args ...any) (string, error) { return bounded(fmt.Sprintln(args...)) },
	"html":     func(args ...any) (string, error) { return bounded(template.HTMLEscaper(args...)) },
	"js":       func(args ...any) (string, error) { return bounded(template.JSEscaper(args...)) },
	"urlquery": func(args ...any) (string, error) { return bounded(template.URLQueryEscaper(args...)) },
	"printf": func(format string, args ...any) (string, error) {
		if wideVerb.MatchString(format) {
			return "", errors.New("printf cannot be used with widths here")
		}
		return bounded(fmt.Sprintf(format, args...))
	},
	"call": func(...any) (string, error) { return "", errors.New("call cannot be used here") },
}

func bounded(s string) (string, error) {
	if len(s) > maxExpanded {
		return "", errExpandsTooFar
	}
	return s, nil
}

// unwrapTemplate takes the position away from a template's error: the field's
// path says where it is.
func unwrapTemplate(err error) error {
	var exec template.ExecError
	if errors.As(err, &exec) {
		err = exec.Err
	}
	message := err.Error()
	if i := strings.LastIndex(message, ">: "); i >= 0 {
		message = message[i+len(">: "):]
	}
	message = strings.TrimPrefix(message, "template: :")
	if i := strings.Index(message, "map has no entry for key"); i >= 0 {
		message = message[i:]
	}
	return errors.New(message)
}
