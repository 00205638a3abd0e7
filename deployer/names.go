package deployer

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

const (
	// LabelRevision names the revision that an object or pod belongs to.
	LabelRevision = "rawserve.dev/revision"
	// LabelPath narrows a Service's selector: no pod ever has it.
	LabelPath = "rawserve.dev/path"
	// PathActivator is the value of LabelPath in a narrowed selector.
	PathActivator = "activator"
	// FieldManager is the name under which the objects are to be applied.
	FieldManager = "rawserve-deployer"

	// AgentContainer is the name of the agent's container.
	AgentContainer = "agent"
	// AgentPort is the agent's port for the first port of the Service.
	AgentPort = 9081
	// AgentAdminPort is the agent's port for statistics, readiness and drain.
	AgentAdminPort = 9082

	// StorageInitializerContainer is the name of the container that downloads models.
	StorageInitializerContainer = "storage-initializer"
	// ServicePortHTTP is the Service's port that leads to the first port of the server.
	ServicePortHTTP = 80
	// DefaultServerPort is where servers listen that declare no port.
	DefaultServerPort = 8080
)

// Name is the name of a component's Deployment, Service, route and scaler.
func Name(isvc *v1beta1.InferenceService, component Component) string {
	if component == Predictor && isvc.Spec.Predictor.Name != "" {
		return isvc.Name + "-" + isvc.Spec.Predictor.Name + "-" + string(component)
	}
	return isvc.Name + "-" + string(component)
}

// RevisionName is the name of a component's revision, for example iris-predictor-00001.
func RevisionName(isvc *v1beta1.InferenceService, component Component, number int64) string {
	return fmt.Sprintf("%s-%05d", Name(isvc, component), number)
}

// AppLabel is the value of the app label of a component's pods. It is the only
// label that selectors use, because those of KServe do and selectors never change.
func AppLabel(name string) string { return "isvc." + name }

// checkNames keeps an InferenceService whose objects could not be named from
// being half created: labels and names of Services have at most 63 characters.
func checkNames(isvc *v1beta1.InferenceService, component Component) error {
	longest := RevisionName(isvc, component, 1)
	if len(AppLabel(Name(isvc, component))) > len(longest) {
		longest = AppLabel(Name(isvc, component))
	}
	if over := len(longest) - validation.DNS1035LabelMaxLength; over > 0 {
		const why = "because names and labels in Kubernetes have at most 63 and it makes"
		if own := isvc.Spec.Predictor.Name; component == Predictor && own != "" {
			both := len(isvc.Name) + len(own)
			return invalid("spec.predictor.name", "together with metadata.name it has %d characters and may have %d, %s %q; shorten it", both, both-over, why, longest)
		}
		return invalid("metadata.name", "it has %d characters and may have %d, %s %q; a name cannot be changed, so create the InferenceService under a shorter one", len(isvc.Name), len(isvc.Name)-over, why, longest)
	}
	if problems := validation.IsDNS1035Label(Name(isvc, component)); len(problems) > 0 {
		return invalid("metadata.name", "the name makes the Service name %q, which is none: %s", Name(isvc, component), problems[0])
	}
	return nil
}
