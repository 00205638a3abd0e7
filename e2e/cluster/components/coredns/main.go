// Command coredns is CoreDNS with only the plugins that the local cluster's
// Corefile names. The full build links cloud SDKs that no test here needs and
// takes several times as long.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

// The order of the directives is the order in which a query passes the
// plugins. It is CoreDNS's own but for template, which comes last here: it
// answers what no other plugin knows.
func init() {
	dnsserver.Directives = []string{
		"errors", "health", "ready", "cache", "loadbalance",
		"hosts", "kubernetes", "forward", "template",
	}
}

func main() { coremain.Run() }
