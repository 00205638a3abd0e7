// Package server serves a metrics provider as custom.metrics.k8s.io behind the
// API server's aggregator: who may ask is decided by the API server, whose
// identity headers are believed because they come with its front-proxy
// certificate. What is answered is the provider's affair.
package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/apiserver/pkg/server/healthz"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	openapi "k8s.io/kube-openapi/pkg/common"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	generatedcore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	generatedcustommetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
	cmprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

const name = "rawserve-metrics-adapter"

// Certificate is the certificate to serve with, which may change at any time.
type Certificate interface {
	// PEM returns the certificate and its key, or nothing before there is one.
	PEM() (cert, key []byte)
	// OnChange registers a function to call after it has changed.
	OnChange(func())
}

// Options are what a Server needs.
type Options struct {
	// Listener accepts connections. The server closes it.
	Listener net.Listener
	// Certificate to serve with. There must be one already.
	Certificate Certificate
	// Provider answers queries.
	Provider cmprovider.CustomMetricsProvider
	// Kubeconfig is the file to reach the API server with, for who may ask. Empty
	// means in-cluster.
	Kubeconfig string
	// Ready are checks for /readyz beyond those that the library has.
	Ready []healthz.HealthChecker
	// ShutdownDelay is how long queries are still accepted after /readyz has begun
	// to fail, until the aggregator has noticed.
	ShutdownDelay time.Duration
}

// Server serves the API, /healthz, /livez, /readyz, /metrics and /openapi.
type Server struct {
	generic *genericapiserver.GenericAPIServer
}

// New builds a server. It asks the API server for the front-proxy's CA.
func New(o Options) (*Server, error) {
	if o.Listener == nil || o.Certificate == nil || o.Provider == nil {
		return nil, errors.New("metrics server needs a listener, a certificate and a provider")
	}
	config := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	config.EnableProfiling = false
	config.ShutdownDelayDuration = o.ShutdownDelay
	config.AddReadyzChecks(o.Ready...)

	definitions := mergeDefinitions(generatedcore.GetOpenAPIDefinitions, generatedcustommetrics.GetOpenAPIDefinitions)
	config.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, openapinamer.NewDefinitionNamer(apiserver.Scheme))
	config.OpenAPIConfig.Info.Title, config.OpenAPIConfig.Info.Version = name, "v1"
	config.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, openapinamer.NewDefinitionNamer(apiserver.Scheme))
	config.OpenAPIV3Config.Info.Title, config.OpenAPIV3Config.Info.Version = name, "v1"

	if err := secure(config, o); err != nil {
		return nil, err
	}
	// No informers: without admission and priority and fairness nobody needs any.
	adapterConfig := apiserver.Config{GenericConfig: &config.Config}
	built, err := adapterConfig.Complete(nil).New(name, o.Provider, nil)
	if err != nil {
		return nil, fmt.Errorf("building the metrics server: %w", err)
	}
	return &Server{generic: built.GenericAPIServer}, nil
}

// secure sets up TLS and who may ask.
func secure(config *genericapiserver.RecommendedConfig, o Options) error {
	serving := genericoptions.NewSecureServingOptions().WithLoopback()
	serving.Listener = o.Listener
	serving.ServerCert.GeneratedCert = content{o.Certificate}
	if err := serving.ApplyTo(&config.SecureServing, &config.LoopbackClientConfig); err != nil {
		return fmt.Errorf("setting up TLS: %w", err)
	}
	authn := genericoptions.NewDelegatingAuthenticationOptions()
	authn.RemoteKubeConfigFile = o.Kubeconfig
	if err := authn.ApplyTo(&config.Authentication, config.SecureServing, config.OpenAPIConfig); err != nil {
		return fmt.Errorf("setting up authentication by the API server: %w", err)
	}
	authz := genericoptions.NewDelegatingAuthorizationOptions()
	authz.RemoteKubeConfigFile = o.Kubeconfig
	if err := authz.ApplyTo(&config.Authorization); err != nil {
		return fmt.Errorf("setting up authorization by the API server: %w", err)
	}
	return nil
}

// Run serves until ctx is done and open queries have been answered.
func (s *Server) Run(ctx context.Context) error {
	if err := s.generic.PrepareRun().RunWithContext(ctx); err != nil {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}

// content shows a Certificate to the library, which loads it anew when told so.
type content struct{ cert Certificate }

var _ dynamiccertificates.CertKeyContentProvider = content{}

// Name is for the library's log.
func (c content) Name() string { return "serving certificate" }

// CurrentCertKeyContent is what is served now.
func (c content) CurrentCertKeyContent() ([]byte, []byte) { return c.cert.PEM() }

// AddListener has the library told of changes.
func (c content) AddListener(l dynamiccertificates.Listener) { c.cert.OnChange(l.Enqueue) }

func mergeDefinitions(getters ...openapi.GetOpenAPIDefinitions) openapi.GetOpenAPIDefinitions {
	return func(ref openapi.ReferenceCallback) map[string]openapi.OpenAPIDefinition {
		all := map[string]openapi.OpenAPIDefinition{}
		for _, get := range getters {
			maps.Copy(all, get(ref))
		}
		return all
	}
}
