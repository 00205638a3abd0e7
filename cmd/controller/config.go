package main

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/deployer"
)

// Config is the controller's configuration file.
type Config struct {
	// AdminAddress is where health and metrics are served. Default ":8081".
	AdminAddress string `json:"adminAddress,omitempty"`
	// Deployer is the configuration of rendering.
	Deployer deployer.Config `json:"deployer,omitempty"`
	// DeployerWorkers is how many InferenceServices are worked on at a time. Default 8.
	DeployerWorkers int `json:"deployerWorkers,omitempty"`
	// Autoscaler is the configuration of scaling.
	Autoscaler AutoscalerConfig `json:"autoscaler,omitempty"`
	// Kubernetes bounds the requests to the API server.
	Kubernetes KubernetesConfig `json:"kubernetes,omitempty"`
	// LeaderElection chooses the one controller that works.
	LeaderElection LeaderElectionConfig `json:"leaderElection,omitempty"`
}

// AutoscalerConfig is the configuration of scaling.
type AutoscalerConfig struct {
	// Tick is the time between two looks at every Scaler. Default 1s.
	Tick metav1.Duration `json:"tick,omitempty"`
	// Workers is how many Scalers, and how many routes, are worked on at a time. Default 8.
	Workers int `json:"workers,omitempty"`
	// MetricQueries is how many queries to the metrics API run at a time. Default 8.
	MetricQueries int `json:"metricQueries,omitempty"`
	// MetricTimeout bounds one of them. Default 2s.
	MetricTimeout metav1.Duration `json:"metricTimeout,omitempty"`
}

// KubernetesConfig bounds the requests to the API server. The deployer's and the
// autoscaler's count apart, so that an installation of a thousand models does not
// keep a Scaler waiting.
type KubernetesConfig struct {
	// QPS is the number of requests per second, over time. Default 300.
	QPS float32 `json:"qps,omitempty"`
	// Burst is the number of requests at once. Default 600.
	Burst int `json:"burst,omitempty"`
}

// LeaderElectionConfig chooses the one controller that works.
type LeaderElectionConfig struct {
	// LeaseName is the Lease's name in the controller's namespace. Default controller.
	LeaseName string `json:"leaseName,omitempty"`
	// LeaseDuration is how long a leader that is silent keeps the others waiting.
	// Default 15s.
	LeaseDuration metav1.Duration `json:"leaseDuration,omitempty"`
	// RenewDeadline is after how long without success a leader gives up. Default 10s.
	RenewDeadline metav1.Duration `json:"renewDeadline,omitempty"`
	// RetryPeriod is the pause between tries. Default 2s.
	RetryPeriod metav1.Duration `json:"retryPeriod,omitempty"`
}

// DefaultConfig is what applies without a file.
func DefaultConfig() Config {
	seconds := func(n int) metav1.Duration { return metav1.Duration{Duration: time.Duration(n) * time.Second} }
	return Config{
		AdminAddress:    ":8081",
		Deployer:        deployer.DefaultConfig(),
		DeployerWorkers: 8,
		Autoscaler:      AutoscalerConfig{Tick: seconds(1), Workers: 8, MetricQueries: 8, MetricTimeout: seconds(2)},
		Kubernetes:      KubernetesConfig{QPS: 300, Burst: 600},
		LeaderElection: LeaderElectionConfig{
			LeaseName: "controller", LeaseDuration: seconds(15), RenewDeadline: seconds(10), RetryPeriod: seconds(2),
		},
	}
}

// Validate reports every field that cannot be used.
func (c Config) Validate() error {
	var errs []error
	if err := c.Deployer.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("deployer: %w", err))
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"deployerWorkers", c.DeployerWorkers},
		{"autoscaler.workers", c.Autoscaler.Workers},
		{"autoscaler.metricQueries", c.Autoscaler.MetricQueries},
		{"kubernetes.burst", c.Kubernetes.Burst},
	} {
		if n.value < 1 {
			errs = append(errs, fmt.Errorf("%s is %d; give 1 or more", n.field, n.value))
		}
	}
	if c.Kubernetes.QPS <= 0 {
		errs = append(errs, fmt.Errorf("kubernetes.qps is %g; give more than 0, for example 300", c.Kubernetes.QPS))
	}
	if c.AdminAddress == "" {
		errs = append(errs, errors.New(`adminAddress is empty; give an address such as ":8081"`))
	}
	for _, d := range []struct {
		field string
		value metav1.Duration
	}{{"autoscaler.tick", c.Autoscaler.Tick}, {"autoscaler.metricTimeout", c.Autoscaler.MetricTimeout}} {
		if d.value.Duration < 100*time.Millisecond {
			errs = append(errs, fmt.Errorf("%s is %s; give at least 100ms", d.field, d.value.Duration))
		}
	}
	return errors.Join(append(errs, c.LeaderElection.validate()...)...)
}

func (c LeaderElectionConfig) validate() (errs []error) {
	if c.LeaseName == "" {
		errs = append(errs, errors.New("leaderElection.leaseName is empty; name the Lease"))
	}
	// A tenth of jitter is added to each retry, so that two tries fit.
	if retry := c.RetryPeriod.Duration; retry <= 0 || c.RenewDeadline.Duration <= retry*12/10 {
		errs = append(errs, fmt.Errorf("leaderElection.renewDeadline is %s; give more than 1.2 times retryPeriod (%s), which must be above 0", c.RenewDeadline.Duration, retry))
	}
	if c.LeaseDuration.Duration <= c.RenewDeadline.Duration {
		errs = append(errs, fmt.Errorf("leaderElection.leaseDuration is %s; give more than renewDeadline (%s), or two controllers could work at a time", c.LeaseDuration.Duration, c.RenewDeadline.Duration))
	}
	return errs
}
