package deployer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// SelectRuntime chooses the runtime for an InferenceService, as KServe does with
// one exception: an automatic choice that a revision has recorded stays as long as
// the model asks for the same and the runtime still serves it. So installing
// another runtime never changes a live model. It returns nil for custom containers.
//
// namespaced are the ServingRuntimes of the InferenceService's namespace.
func SelectRuntime(isvc *v1beta1.InferenceService, namespaced []v1alpha1.ServingRuntime, cluster []v1alpha1.ClusterServingRuntime, frozen *RuntimeRef) (*ChosenRuntime, error) {
	model := isvc.Spec.Predictor.Model
	if model == nil {
		return nil, nil
	}
	w := wantedOf(isvc)
	all := candidates(isvc.Namespace, namespaced, cluster)
	if model.Runtime != nil && *model.Runtime != "" {
		return namedRuntime(*model.Runtime, w, all)
	}
	if c := frozenRuntime(frozen, w, all); c != nil {
		return c.chosen(w), nil
	}
	for _, scope := range []RuntimeScope{Namespaced, Cluster} {
		var matching []candidate
		for _, c := range all {
			if c.scope == scope && c.autoSelectable(w) {
				matching = append(matching, c)
			}
		}
		// Stable: among equals the order of candidates decides.
		slices.SortStableFunc(matching, func(a, b candidate) int { return cmp.Compare(b.priority(w.format), a.priority(w.format)) })
		if len(matching) > 0 {
			return matching[0].chosen(w), nil
		}
	}
	return nil, &RenderError{
		Reason:  ReasonNoSupportingRuntime,
		Field:   "spec.predictor.model.modelFormat",
		Message: noRuntimeMessage(w, all),
	}
}

// RecordedRuntime returns a runtime as a revision recorded it, for a model that still
// asks for what it was chosen for, whatever has become of the runtime since. It
// returns nil for a model that asks for something else. ref is the choice as last
// recorded.
func RecordedRuntime(isvc *v1beta1.InferenceService, ref RuntimeRef, recorded ChosenRuntime) *ChosenRuntime {
	model := isvc.Spec.Predictor.Model
	if model == nil {
		return nil
	}
	w := wantedOf(isvc)
	c := candidate{&metav1.ObjectMeta{Name: ref.Name, Labels: recorded.Labels, Annotations: recorded.Annotations}, ref.Scope, &recorded.Spec}
	named := model.Runtime != nil && *model.Runtime != ""
	if named && *model.Runtime != ref.Name || !named && ref.Named ||
		!ref.madeFor(w) || !c.speaks(w.protocol) || (c.spec.WorkerSpec != nil) != w.workers {
		return nil
	}
	chosen := c.chosen(w)
	chosen.Ref.Named = named
	return chosen
}

// wanted is what a model asks of a runtime.
type wanted struct {
	format, version string
	// protocol is empty when the model asks for none; automatic selection then
	// looks for v1.
	protocol v1beta1.ProtocolVersion
	workers  bool
}

func wantedOf(isvc *v1beta1.InferenceService) wanted {
	model := isvc.Spec.Predictor.Model
	w := wanted{format: model.ModelFormat.Name, workers: isvc.Spec.Predictor.WorkerSpec != nil}
	if model.ModelFormat.Version != nil {
		w.version = *model.ModelFormat.Version
	}
	if model.ProtocolVersion != nil {
		w.protocol = *model.ProtocolVersion
	}
	return w
}

func (w wanted) String() string {
	s := "format " + w.format
	if w.version != "" {
		s += " version " + w.version
	}
	s += " with protocol " + string(protocolOrDefault(w.protocol))
	if w.workers {
		s += " on several nodes"
	}
	return s
}

// protocolOrDefault is what selection looks for where a model names no protocol.
func protocolOrDefault(p v1beta1.ProtocolVersion) v1beta1.ProtocolVersion {
	if p == "" {
		return v1beta1.ProtocolV1
	}
	return p
}

// candidate is a runtime of either scope.
type candidate struct {
	meta  *metav1.ObjectMeta
	scope RuntimeScope
	spec  *v1alpha1.ServingRuntimeSpec
}

// candidates lists all runtimes in KServe's order: lowest protocol first, then
// the newest, then by name.
func candidates(namespace string, namespaced []v1alpha1.ServingRuntime, cluster []v1alpha1.ClusterServingRuntime) []candidate {
	var all []candidate
	for i := range namespaced {
		if r := &namespaced[i]; r.Namespace == namespace {
			all = append(all, candidate{&r.ObjectMeta, Namespaced, &r.Spec})
		}
	}
	for i := range cluster {
		all = append(all, candidate{&cluster[i].ObjectMeta, Cluster, &cluster[i].Spec})
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		return cmp.Or(
			// Namespaced before Cluster.
			strings.Compare(string(b.scope), string(a.scope)),
			cmp.Compare(protocolOrdinal(a.firstProtocol()), protocolOrdinal(b.firstProtocol())),
			b.meta.CreationTimestamp.Compare(a.meta.CreationTimestamp.Time),
			strings.Compare(a.meta.Name, b.meta.Name),
		)
	})
	return all
}

// protocolOrder is KServe's order; a runtime that names none comes last.
var protocolOrder = []v1beta1.ProtocolVersion{
	v1beta1.ProtocolV1, v1beta1.ProtocolV2, v1beta1.ProtocolGRPCV1, v1beta1.ProtocolGRPCV2,
}

func protocolOrdinal(p v1beta1.ProtocolVersion) int {
	if i := slices.Index(protocolOrder, p); i >= 0 {
		return i
	}
	return len(protocolOrder)
}

// firstProtocol is the one of lowest order that the runtime speaks, empty if it names none.
func (c candidate) firstProtocol() v1beta1.ProtocolVersion {
	var first v1beta1.ProtocolVersion
	for _, p := range c.spec.ProtocolVersions {
		if protocolOrdinal(p) < protocolOrdinal(first) {
			first = p
		}
	}
	return first
}

func (c candidate) disabled() bool { return c.spec.Disabled != nil && *c.spec.Disabled }

// speaks says whether the runtime speaks a protocol; one that names none speaks any.
func (c candidate) speaks(p v1beta1.ProtocolVersion) bool {
	return p == "" || len(c.spec.ProtocolVersions) == 0 || slices.Contains(c.spec.ProtocolVersions, p)
}

// declares says whether the runtime serves a format: a bare name matches entries
// of any version, a version matches by string equality only.
func (c candidate) declares(w wanted, autoSelectOnly bool) bool {
	for _, f := range c.spec.SupportedModelFormats {
		if autoSelectOnly && (f.AutoSelect == nil || !*f.AutoSelect) {
			continue
		}
		if f.Name == w.format && (w.version == "" || f.Version != nil && *f.Version == w.version) {
			return true
		}
	}
	return false
}

func (c candidate) fits(w wanted, autoSelectOnly bool) bool {
	multiModel := c.spec.MultiModel != nil && *c.spec.MultiModel
	return !c.disabled() && !multiModel && (c.spec.WorkerSpec != nil) == w.workers && c.declares(w, autoSelectOnly)
}

func (c candidate) autoSelectable(w wanted) bool {
	return c.fits(w, true) && c.speaks(protocolOrDefault(w.protocol))
}

// priority is that of the first entry with the format's name, whatever its
// version; 0 without one, as given ones are at least 1.
func (c candidate) priority(format string) int32 {
	for _, f := range c.spec.SupportedModelFormats {
		if f.Name == format {
			if f.Priority == nil {
				return 0
			}
			return *f.Priority
		}
	}
	return 0
}

func (c candidate) chosen(w wanted) *ChosenRuntime {
	protocol := w.protocol
	if protocol == "" {
		protocol = c.firstProtocol()
	}
	return &ChosenRuntime{
		Ref:         RuntimeRef{Name: c.meta.Name, Scope: c.scope, Format: w.format, Version: w.version, Protocol: w.protocol},
		Spec:        *c.spec.DeepCopy(),
		Labels:      copyMap(c.meta.Labels),
		Annotations: copyMap(c.meta.Annotations),
		Protocol:    protocol,
	}
}

// frozenRuntime returns the recorded choice if it still holds. A runtime that the
// user named does not: without the name nothing holds it.
func frozenRuntime(frozen *RuntimeRef, w wanted, all []candidate) *candidate {
	if frozen == nil || frozen.Name == "" || frozen.Named || !frozen.madeFor(w) {
		return nil
	}
	for i := range all {
		// autoSelect may have been withdrawn since: that steers new models only.
		if c := &all[i]; c.meta.Name == frozen.Name && c.scope == frozen.Scope && c.fits(w, false) && c.speaks(protocolOrDefault(w.protocol)) {
			return c
		}
	}
	return nil
}

// madeFor says whether a model asks for what the choice was made for. To spell out
// the default protocol, or the version of the format, is to ask for the same.
func (r RuntimeRef) madeFor(w wanted) bool {
	return r.Format == "" || r.Format == w.format &&
		(r.Version == w.version || r.Version == "" || w.version == "") &&
		protocolOrDefault(r.Protocol) == protocolOrDefault(w.protocol)
}

// namedRuntime finds the runtime that the model names; the namespace's own
// hides a cluster-wide one of the same name.
func namedRuntime(name string, w wanted, all []candidate) (*ChosenRuntime, error) {
	const field = "spec.predictor.model.runtime"
	i := slices.IndexFunc(all, func(c candidate) bool { return c.meta.Name == name })
	if i < 0 {
		return nil, &RenderError{ReasonRuntimeNotRecognized, field, fmt.Sprintf(
			"no ServingRuntime in the namespace and no ClusterServingRuntime is named %q; create it, or remove the field to have one selected", name)}
	}
	c := all[i]
	switch {
	case c.disabled():
		return nil, &RenderError{ReasonRuntimeDisabled, field, fmt.Sprintf(
			"runtime %q is disabled; set its spec.disabled to false, or name another", name)}
	case !c.speaks(w.protocol):
		return nil, &RenderError{ReasonNoSupportingRuntime, "spec.predictor.model.protocolVersion", fmt.Sprintf(
			"runtime %q speaks %s, not %s; change protocolVersion or runtime", name, joined(c.spec.ProtocolVersions), w.protocol)}
	case !c.declares(w, false):
		return nil, &RenderError{ReasonNoSupportingRuntime, field, fmt.Sprintf(
			"runtime %q does not serve %s; it declares %s", name, w, c.formats())}
	}
	chosen := c.chosen(w)
	chosen.Ref.Named = true
	return chosen, nil
}

func (c candidate) formats() string {
	var names []string
	for _, f := range c.spec.SupportedModelFormats {
		s := f.Name
		if f.Version != nil {
			s += " " + *f.Version
		}
		names = append(names, s)
	}
	if c.spec.WorkerSpec != nil {
		return strings.Join(names, ", ") + " on several nodes"
	}
	return strings.Join(names, ", ")
}

// noRuntimeMessage says what is nearest to what was asked for, because the two
// usual mistakes are a version like 1.0 for 1 and a missing protocolVersion.
func noRuntimeMessage(w wanted, all []candidate) string {
	bare := wanted{format: w.format, workers: w.workers}
	for _, autoSelectOnly := range []bool{true, false} {
		i := slices.IndexFunc(all, func(c candidate) bool { return c.fits(bare, autoSelectOnly) })
		if i < 0 {
			continue
		}
		c := all[i]
		return fmt.Sprintf("no enabled runtime is selected for %s; %q serves %s with %s: change version or protocolVersion, or name a runtime",
			w, c.meta.Name, c.formats(), joined(c.spec.ProtocolVersions))
	}
	return fmt.Sprintf("no enabled runtime serves %s; install one that declares the format, or use a container of your own", w)
}

func joined(protocols []v1beta1.ProtocolVersion) string {
	if len(protocols) == 0 {
		return "any protocol"
	}
	var s []string
	for _, p := range protocols {
		s = append(s, string(p))
	}
	return strings.Join(s, ", ")
}
