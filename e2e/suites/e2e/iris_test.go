package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTrainedModelAnswersFromZero is the demo's own way: a manifest that names
// the framework and the place of the model only, served by MLServer.
func TestTrainedModelAnswersFromZero(t *testing.T) {
	require.NoError(t, env.StartModelStore(t.Context()))
	ns := namespace(t)
	_, err := env.KubectlInput(t.Context(), sample(t, "sklearn-iris.yaml"), "apply", "-n", ns, "-f", "-")
	require.NoError(t, err)
	isvc, err := env.WaitReady(t.Context(), ns, "sklearn-iris", 4*time.Minute)
	require.NoError(t, err)
	require.Equal(t, "kserve-mlserver", isvc.Status.ClusterServingRuntimeName)
	atZero(t, ns, "sklearn-iris")

	began := time.Now()
	status, body, _, err := post(t.Context(), env.HTTPClient(false), "http://sklearn-iris-predictor."+ns+".svc.cluster.local/v2/models/sklearn-iris/infer",
		`{"inputs":[{"name":"flowers","shape":[2,4],"datatype":"FP64","data":[[5.1,3.5,1.4,0.2],[6.7,3.0,5.2,2.3]]}]}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, body)
	require.Regexp(t, `"data":\s*\[\s*0,\s*2\s*\]`, body)
	t.Logf("answered from zero after %s: %s", time.Since(began), body)
}
