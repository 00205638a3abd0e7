package component

import (
	"encoding/base64"
	"fmt"

	"github.com/rawserve/rawserve/e2e/cluster/internal/pki"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// Kubeconfig is a client's configuration, complete in itself.
func Kubeconfig(c plan.Cluster, ca []byte, client pki.Pair) string {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: rawserve-%[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: rawserve-%[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
contexts:
- name: rawserve-%[1]s
  context: {cluster: rawserve-%[1]s, user: rawserve-%[1]s}
current-context: rawserve-%[1]s
`, c.Name, c.APIServer(), encode(ca), encode(client.Cert), encode(client.Key))
}
