package deployer

import (
	"fmt"
	"strings"
	"text/template"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// URLs are where an InferenceService answers, as its status shows them.
type URLs struct {
	// External is status.url.
	External string
	// Component is the external URL of the component, always plain http as in KServe.
	Component string
	// Address is status.address.url, for callers inside the cluster.
	Address string
}

// URLsOf returns the URLs of an InferenceService. Whether somebody routes the
// external ones is for the ingress to say.
func URLsOf(isvc *v1beta1.InferenceService, component Component, cfg Config) (URLs, error) {
	host, err := cfg.Ingress.host(isvc.Name, isvc.Namespace, isvc.Annotations, isvc.Labels)
	if err != nil {
		return URLs{}, err
	}
	name := Name(isvc, component)
	componentHost, err := cfg.Ingress.host(name, isvc.Namespace, isvc.Annotations, isvc.Labels)
	if err != nil {
		return URLs{}, err
	}
	return URLs{
		External:  cfg.Ingress.URLScheme + "://" + host,
		Component: "http://" + componentHost,
		Address:   fmt.Sprintf("http://%s.%s.svc.%s", name, isvc.Namespace, cfg.ClusterDomain),
	}, nil
}

// ClusterLocal says whether an InferenceService is to have no ingress.
func ClusterLocal(isvc *v1beta1.InferenceService, cfg Config) bool {
	return isvc.Labels[v1beta1.LabelVisibility] == v1beta1.VisibilityClusterLocal ||
		cfg.Ingress.Domain == "svc."+cfg.ClusterDomain
}

// host executes the domain template. The result must be a host name: a template
// that uses an annotation which is absent yields none.
func (c IngressConfig) host(name, namespace string, annotations, labels map[string]string) (string, error) {
	t, err := template.New("domainTemplate").Option("missingkey=error").Parse(c.DomainTemplate)
	if err != nil {
		return "", fmt.Errorf("parsing ingress.domainTemplate: %w", err)
	}
	var b strings.Builder
	err = t.Execute(&b, struct {
		Name, Namespace, IngressDomain string
		Annotations, Labels            map[string]string
	}{name, namespace, c.Domain, annotations, labels})
	if err != nil {
		return "", fmt.Errorf("executing ingress.domainTemplate for %s/%s: %w", namespace, name, err)
	}
	if problems := validation.IsDNS1123Subdomain(b.String()); len(problems) > 0 {
		return "", fmt.Errorf("ingress.domainTemplate makes the host name %q for %s/%s, which is none: %s", b.String(), namespace, name, problems[0])
	}
	return b.String(), nil
}
