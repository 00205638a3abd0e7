package autoscaler

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

// The defaults of a policy.
const (
	DefaultConcurrencyTarget = 100.0
	DefaultRPSTarget         = 200.0
	DefaultUtilization       = 70
	DefaultStableWindow      = time.Minute
	DefaultBurstWindow       = 10 // percent of the stable one
	DefaultBurstThreshold    = 200
	DefaultScaleUpRate       = 1000.0
	DefaultScaleDownRate     = 2.0
	DefaultZeroGracePeriod   = 30 * time.Second
	DefaultProgressDeadline  = 10 * time.Minute
)

// Policy is a ScalerSpec with its defaults filled in, ready to calculate with.
type Policy struct {
	// Min and Max bound the replicas; Max 0 means none.
	Min, Max int32
	// Initial is the floor until the target was ready for the first time.
	Initial int32
	// Activation is the smallest number other than zero.
	Activation int32
	// HasRoute is true when a route's path is decided too.
	HasRoute bool
	// Metrics are the signals that ask for replicas.
	Metrics []Metric
	// StableWindow and BurstWindow are the times demand is averaged over.
	StableWindow, BurstWindow time.Duration
	// BurstThreshold is the number of replicas that the burst window asks for, as a
	// multiple of the ready ones, at which burst mode starts.
	BurstThreshold float64
	// UpRate and DownRate bound the factor of one step.
	UpRate, DownRate float64
	// DownDelay is how long demand must stay lower before replicas shrink.
	DownDelay time.Duration
	// ZeroGrace is how long the switch of the path may take before it is reported.
	ZeroGrace time.Duration
	// Retention is how long the last replica stays once a stable window has passed
	// without demand.
	Retention time.Duration
	// BurstCapacity is the room that the direct path needs: -1 forbids it, 0 asks for none.
	BurstCapacity int64
	// Room is the signal in which that room is counted, and Capacity what one replica
	// takes of it.
	Room     v1alpha1.MetricName
	Capacity float64
	// ProgressDeadline is how long a start may take.
	ProgressDeadline time.Duration
	// Paused leaves the replicas as they are.
	Paused bool
}

// Metric is a signal and what one replica is to carry of it.
type Metric struct {
	// Name of the signal.
	Name v1alpha1.MetricName
	// Full is the value per replica that counts as full: the target, or the hard limit
	// where that is lower.
	Full float64
	// Aim is the value per replica to aim for: Full times the utilization.
	Aim float64
}

// PolicyFrom fills in the defaults of a specification and checks it. With errors
// the policy is not to be used.
func PolicyFrom(spec v1alpha1.ScalerSpec) (Policy, field.ErrorList) {
	root := field.NewPath("spec")
	c := &checker{}
	p := Policy{
		Min:              c.count(root.Child("minReplicas"), spec.MinReplicas, 1, 0),
		Max:              c.count(root.Child("maxReplicas"), &spec.MaxReplicas, 0, 0),
		Initial:          c.count(root.Child("initialReplicas"), spec.InitialReplicas, 1, 0),
		Activation:       c.count(root.Child("activationReplicas"), spec.ActivationReplicas, 1, 1),
		HasRoute:         spec.RouteName != "",
		StableWindow:     c.span(root.Child("stableWindow"), spec.StableWindow, DefaultStableWindow, 6*time.Second, time.Hour),
		BurstThreshold:   float64(c.within(root.Child("burstThresholdPercentage"), spec.BurstThresholdPercentage, DefaultBurstThreshold, 110, 1000)) / 100,
		UpRate:           c.rate(root.Child("maxScaleUpRate"), spec.MaxScaleUpRate, DefaultScaleUpRate),
		DownRate:         c.rate(root.Child("maxScaleDownRate"), spec.MaxScaleDownRate, DefaultScaleDownRate),
		DownDelay:        c.span(root.Child("scaleDownDelay"), spec.ScaleDownDelay, 0, 0, time.Hour),
		ZeroGrace:        c.span(root.Child("scaleToZeroGracePeriod"), spec.ScaleToZeroGracePeriod, DefaultZeroGracePeriod, time.Second, time.Hour),
		Retention:        c.span(root.Child("scaleToZeroPodRetentionPeriod"), spec.ScaleToZeroPodRetentionPeriod, 0, 0, time.Hour),
		ProgressDeadline: c.span(root.Child("progressDeadline"), spec.ProgressDeadline, DefaultProgressDeadline, time.Second, 24*time.Hour),
		Paused:           spec.Paused,
	}
	percentage := c.within(root.Child("burstWindowPercentage"), spec.BurstWindowPercentage, DefaultBurstWindow, 1, 100)
	p.BurstWindow = max(time.Second, (p.StableWindow * time.Duration(percentage) / 100).Round(time.Second))
	c.bounds(root, spec, p)
	c.metrics(root, spec, &p)
	c.room(root, spec, &p)
	return p, c.errors
}

// checker collects what is wrong with a specification.
type checker struct{ errors field.ErrorList }

func (c *checker) bounds(root *field.Path, spec v1alpha1.ScalerSpec, p Policy) {
	if p.Max > 0 && p.Min > p.Max {
		c.wrong(root.Child("minReplicas"), p.Min, fmt.Sprintf("is above maxReplicas %d; lower it or raise maxReplicas", p.Max))
	}
	if p.Max > 0 && p.Activation > p.Max {
		c.wrong(root.Child("activationReplicas"), p.Activation, fmt.Sprintf("is above maxReplicas %d; lower it or raise maxReplicas", p.Max))
	}
	if p.Min == 0 && !p.HasRoute {
		c.wrong(root.Child("minReplicas"), p.Min, "needs routeName, because something has to hold requests while no replica runs; set routeName or raise minReplicas to 1")
	}
	if ref := spec.ScaleTargetRef; ref.Name == "" {
		c.errors = append(c.errors, field.Required(root.Child("scaleTargetRef", "name"), "name the Deployment to scale"))
	} else if ref.Kind != "" && ref.Kind != "Deployment" {
		c.errors = append(c.errors, field.NotSupported(root.Child("scaleTargetRef", "kind"), ref.Kind, []string{"Deployment"}))
	}
}

// room says in which signal the room for a burst is counted, and how much of it a
// replica has: in the one that replicas follow, up to its target, as in Knative. Where
// nothing is asked for but there is a hard limit, it is the limit's own: activators
// are to come in before a pod is full, whatever its replicas aim at.
func (c *checker) room(root *field.Path, spec v1alpha1.ScalerSpec, p *Policy) {
	p.Room = v1alpha1.MetricConcurrency
	asked := spec.TargetBurstCapacity
	if asked == nil {
		p.BurstCapacity, p.Capacity = max(0, spec.ContainerConcurrency), float64(max(0, spec.ContainerConcurrency))
		return
	}
	if p.BurstCapacity = *asked; *asked < -1 {
		c.wrong(root.Child("targetBurstCapacity"), *asked, "must be -1, for always through the activators, or more")
	}
	for i, m := range p.Metrics {
		if i == 0 || m.Name == v1alpha1.MetricConcurrency {
			p.Room, p.Capacity = m.Name, m.Full
		}
	}
}

func (c *checker) metrics(root *field.Path, spec v1alpha1.ScalerSpec, p *Policy) {
	limit := float64(spec.ContainerConcurrency)
	if limit < 0 {
		c.wrong(root.Child("containerConcurrency"), spec.ContainerConcurrency, "must be 0, for no limit, or more")
	}
	given := spec.Metrics
	if len(given) == 0 {
		given = []v1alpha1.ScalerMetric{{Name: v1alpha1.MetricConcurrency}}
	}
	seen := map[v1alpha1.MetricName]bool{}
	for i, m := range given {
		at := root.Child("metrics").Index(i)
		var target float64
		switch m.Name {
		case v1alpha1.MetricConcurrency:
			target = DefaultConcurrencyTarget
			if limit > 0 {
				target = limit
			}
		case v1alpha1.MetricRPS:
			target = DefaultRPSTarget
		default:
			c.errors = append(c.errors, field.NotSupported(at.Child("name"), m.Name,
				[]v1alpha1.MetricName{v1alpha1.MetricConcurrency, v1alpha1.MetricRPS}))
			continue
		}
		if seen[m.Name] {
			c.errors = append(c.errors, field.Duplicate(at.Child("name"), m.Name))
			continue
		}
		seen[m.Name] = true
		if m.Target != nil {
			target = m.Target.AsApproximateFloat64()
			if !(target >= 0.01 && target <= 1e9) {
				c.wrong(at.Child("target"), m.Target.String(), "must be at least 0.01 and at most 1e9")
				continue
			}
		}
		if m.Name == v1alpha1.MetricConcurrency && limit > 0 {
			target = min(target, limit)
		}
		share := c.within(at.Child("targetUtilizationPercentage"), m.TargetUtilizationPercentage, DefaultUtilization, 1, 100)
		p.Metrics = append(p.Metrics, Metric{Name: m.Name, Full: target, Aim: max(0.01, target*float64(share)/100)})
	}
}

func (c *checker) wrong(at *field.Path, value any, what string) {
	c.errors = append(c.errors, field.Invalid(at, value, what))
}

func (c *checker) count(at *field.Path, value *int32, fallback, least int32) int32 {
	if value == nil {
		return fallback
	}
	if *value < least {
		c.wrong(at, *value, fmt.Sprintf("must be %d or more", least))
		return fallback
	}
	return *value
}

func (c *checker) within(at *field.Path, value *int32, fallback, least, most int32) int32 {
	if value == nil {
		return fallback
	}
	if *value < least || *value > most {
		c.wrong(at, *value, fmt.Sprintf("must be between %d and %d", least, most))
		return fallback
	}
	return *value
}

func (c *checker) span(at *field.Path, value *metav1.Duration, fallback, least, most time.Duration) time.Duration {
	if value == nil {
		return fallback
	}
	switch d := value.Duration; {
	case d < least || d > most:
		c.wrong(at, d.String(), fmt.Sprintf("must be between %s and %s", span(least), span(most)))
	case d%time.Second != 0:
		c.wrong(at, d.String(), "must be whole seconds")
	default:
		return d
	}
	return fallback
}

func (c *checker) rate(at *field.Path, value *resource.Quantity, fallback float64) float64 {
	if value == nil {
		return fallback
	}
	rate := value.AsApproximateFloat64()
	if !(rate > 1 && rate <= 1e9) {
		c.wrong(at, value.String(), "must be above 1, for example 2 to double or halve at most")
		return fallback
	}
	return rate
}
