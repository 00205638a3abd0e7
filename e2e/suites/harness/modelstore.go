package harness

import (
	"context"
	"fmt"
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
	const name = "model-store"
	outdated, err := e.outdated(ctx, name)
	if err != nil {
		return err
	}
	if _, err := e.KubectlInput(ctx, modelStore, "apply", "-f", "-"); err != nil {
		return err
	}
	if outdated {
		if err := e.restart(ctx, name); err != nil {
			return err
		}
	}
	if _, err := e.Kubectl(ctx, "rollout", "status", "-n", name, "deployment/"+name, "--timeout=2m"); err != nil {
		return fmt.Errorf("starting the model store: %w", err)
	}
	return nil
}
