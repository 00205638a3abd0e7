package deployer

import (
	"strings"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
)

// serverType says which kind of server a runtime runs.
type serverType string

const (
	serverMLServer   serverType = "mlserver"
	serverTorchServe serverType = "torchserve"
	serverTriton     serverType = "tritonserver"
)

// typeOf reads the server's kind from the runtime's annotation, else from its name.
func typeOf(r *ChosenRuntime) serverType {
	for _, annotations := range []map[string]string{r.Annotations, r.Spec.Annotations} {
		if t := annotations["serving.kserve.io/server-type"]; t != "" {
			return serverType(strings.TrimPrefix(t, "kserve-"))
		}
	}
	return serverType(strings.TrimPrefix(r.Ref.Name, "kserve-"))
}

// mlserverClasses are MLServer's implementations of model formats.
var mlserverClasses = map[string]string{
	"sklearn":  "mlserver_sklearn.SKLearnModel",
	"xgboost":  "mlserver_xgboost.XGBoostModel",
	"lightgbm": "mlserver_lightgbm.LightGBMModel",
	"mlflow":   "mlserver_mlflow.MLflowRuntime",
}

// serverTypeDefaults sets what some servers need to know about the model. What
// the user or the runtime has set stays.
func (w *workload) serverTypeDefaults() error {
	if w.model == nil {
		return nil
	}
	c, stored := w.server(), len(w.sources) > 0
	switch typeOf(w.in.Runtime) {
	case serverMLServer:
		if class, ok := mlserverClasses[w.model.ModelFormat.Name]; ok {
			w.setLabel("modelClass", class)
		}
		if !stored {
			setEnv(c, "MLSERVER_LOAD_MODELS_AT_STARTUP", "false")
			break
		}
		setEnv(c, "MLSERVER_MODEL_NAME", w.isvc.Name)
		setEnv(c, "MLSERVER_MODEL_URI", v1beta1.ModelMountPath)
	case serverTorchServe:
		protocol := v1beta1.ProtocolV1
		if w.model.ProtocolVersion != nil {
			protocol = *w.model.ProtocolVersion
		}
		envelope := "kserve"
		if protocol == v1beta1.ProtocolV2 || protocol == v1beta1.ProtocolGRPCV2 {
			envelope = "kservev2"
		}
		w.setLabel("serviceEnvelope", envelope)
		setEnv(c, "PROTOCOL_VERSION", string(protocol))
	case serverTriton:
		if !stored {
			const flag = "--model-control-mode"
			for _, a := range c.Args {
				if strings.HasPrefix(a, flag) {
					return nil
				}
			}
			c.Args = append(c.Args, flag+"=explicit")
		}
	}
	return nil
}
