package deployer

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
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
	t, err := template.New("").Funcs(templateFuncs).Parse(text)
	if err != nil {
		return "", fmt.Errorf("%w; to write braces as they are, use {{\"{{\"}}", unwrapTemplate(err))
	}
	if len(t.Templates()) > 1 {
		return "", errors.New("define and block cannot be used here")
	}
	if t.Tree == nil {
		return "", nil
	}
	if err := prepare(t.Root); err != nil {
		return "", err
	}
	out := &boundedBuffer{}
	if err := t.Execute(out, data); err != nil {
		return "", fmt.Errorf("%w; set the label or annotation on the InferenceService", unwrapTemplate(err))
	}
	return out.String(), nil
}

// prepare refuses what could run for long, and has all that a template prints
// checked. Whoever may create an InferenceService can write a template, and
// {{range 1000000000000}} would occupy the controller for days.
func prepare(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			checkPrinted(n.Pipe)
		}
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := prepare(c); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		return errors.Join(prepare(n.List), prepare(n.ElseList))
	case *parse.WithNode:
		return errors.Join(prepare(n.List), prepare(n.ElseList))
	case *parse.RangeNode:
		return errors.New("range cannot be used here")
	case *parse.TemplateNode:
		return errors.New("template cannot be used here")
	}
	return nil
}

// printedFunc is a function that every pipeline ends in whose result is printed.
const printedFunc = "_printed"

// checkPrinted turns {{.Labels.tier}} into {{.Labels.tier | _printed ".Labels.tier"}}.
// To a condition a label that is not set is false, as in KServe; printed it would
// be the text "<no value>" in an argument.
func checkPrinted(p *parse.PipeNode) {
	what := p.String()
	p.Cmds = append(p.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: p.Pos, Args: []parse.Node{
		parse.NewIdentifier(printedFunc).SetPos(p.Pos),
		&parse.StringNode{NodeType: parse.NodeString, Pos: p.Pos, Quoted: strconv.Quote(what), Text: what},
	}})
}

// printed returns the value that it is given.
func printed(what string, value any) (any, error) {
	if value == nil {
		return nil, unset(what)
	}
	return value, nil
}

// unset is the error of a value that is needed and not there.
type unset string

// Error implements error.
func (u unset) Error() string { return string(u) + " is not set" }

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

// templateFuncs are printedFunc and replacements of the built-in functions whose
// results can grow.
var templateFuncs = template.FuncMap{
	printedFunc: printed,
	"print":     formatting(fmt.Sprint),
	"println":   formatting(fmt.Sprintln),
	"html":      formatting(template.HTMLEscaper),
	"js":        formatting(template.JSEscaper),
	"urlquery":  formatting(template.URLQueryEscaper),
	"printf": func(format string, args ...any) (string, error) {
		if wideVerb.MatchString(format) {
			return "", errors.New("printf cannot be used with widths here")
		}
		return formatting(func(args ...any) string { return fmt.Sprintf(format, args...) })(args...)
	},
	"call": func(...any) (string, error) { return "", errors.New("call cannot be used here") },
}

// formatting bounds what a function makes of its arguments, and refuses those that
// are not set: they would become the text "<nil>".
func formatting(format func(...any) string) func(...any) (string, error) {
	return func(args ...any) (string, error) {
		if slices.Contains(args, nil) {
			return "", unset("a value to be formatted")
		}
		return bounded(format(args...))
	}
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
	var missing unset
	if errors.As(err, &missing) {
		return missing
	}
	var exec template.ExecError
	if errors.As(err, &exec) {
		err = exec.Err
	}
	message := err.Error()
	if i := strings.LastIndex(message, ">: "); i >= 0 {
		message = message[i+len(">: "):]
	}
	message = strings.TrimPrefix(message, "template: :")
	return errors.New(message)
}
