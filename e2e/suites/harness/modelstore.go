package harness

import (
	"context"
	"fmt"
	"time"
)

// ModelStoreImage holds the trained model behind an HTTP server.
const ModelStoreImage = "rawserve/model-store:dev"

// modelStore serves the trained model inside the cluster.
const modelStore = `
apiVersion: v1
kind: Namespace
metadata:
  name: model-store
  labels: {pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: model-store
  namespace: model-store
spec:
  selector: {matchLabels: {app: model-store}}
  template:
    metadata: {labels: {app: model-store}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: server
        image: ` + ModelStoreImage + `
        imagePullPolicy: IfNotPresent
        readinessProbe: {httpGet: {path: /v2/health/live, port: 8080}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
        resources: {requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 128Mi}}
---
apiVersion: v1
kind: Service
metadata:
  name: model-store
  namespace: model-store
spec:
  selector: {app: model-store}
  ports: [{port: 80, targetPort: 8080}]
`

// StartModelStore puts an HTTP server with the trained model into the cluster.
func (e *Env) StartModelStore(ctx context.Context) error {
	if _, err := e.KubectlInput(ctx, modelStore, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := e.WaitReplicas(ctx, "model-store", "model-store", 1, 2*time.Minute); err != nil {
		return fmt.Errorf("starting the model store: %w", err)
	}
	return nil
}
