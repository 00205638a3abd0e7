// Package provider answers queries of custom.metrics.k8s.io out of the store. It
// decides names, references, units and errors; what a value is, the store decides.
package provider

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/utils/clock"
	cmprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	servingv1beta1 "github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

// Source is where values come from.
type Source interface {
	// Get returns the value for one object.
	Get(q store.Series, k store.Key, now time.Time) (store.Value, error)
	// Select returns the values for the objects of a namespace whose labels match.
	Select(q store.Series, namespace string, match func(map[string]string) bool, now time.Time) (store.List, error)
}

// Options are what a Provider needs.
type Options struct {
	// Source is where values come from.
	Source Source
	// Clock says at what time values are asked for. Default: the real one.
	Clock clock.PassiveClock
}

// Provider implements the library's CustomMetricsProvider.
type Provider struct {
	source Source
	clock  clock.PassiveClock
}

var _ cmprovider.CustomMetricsProvider = &Provider{}

// New returns a Provider.
func New(o Options) (*Provider, error) {
	if o.Source == nil {
		return nil, errors.New("provider needs a source of values")
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return &Provider{source: o.Source, clock: o.Clock}, nil
}

// described is how a resource is called in answers.
var described = map[store.Resource]struct{ apiVersion, kind string }{
	store.Pods:     {"v1", "Pod"},
	store.Scalers:  {rawservev1alpha1.SchemeGroupVersion.String(), "Scaler"},
	store.Services: {servingv1beta1.SchemeGroupVersion.String(), "InferenceService"},
}

// GetMetricByName returns the value of a metric for one object.
func (p *Provider) GetMetricByName(_ context.Context, name types.NamespacedName, info cmprovider.CustomMetricInfo, metricSelector labels.Selector) (*custom_metrics.MetricValue, error) {
	series := seriesOf(info)
	if err := selectable(info, metricSelector); err != nil {
		return nil, err
	}
	value, err := p.source.Get(series, store.Key{Namespace: name.Namespace, Name: name.Name}, p.clock.Now())
	var why *store.Absent
	switch {
	case errors.As(err, &why):
		return nil, notFound("%s", why.Why)
	case errors.Is(err, store.ErrNoObject):
		return nil, notFound("%s %s/%s is not known to the metrics adapter: it does not exist, or does not belong to an InferenceService", series.Resource, name.Namespace, name.Name)
	case errors.Is(err, store.ErrNoSeries):
		return nil, unknownMetric(info)
	case err != nil:
		return nil, fmt.Errorf("looking up metric %s of %s %s: %w", info.Metric, info.GroupResource, name, err)
	}
	answer := valueOf(series, value)
	return &answer, nil
}

// GetMetricBySelector returns the values of a metric for all objects of a
// namespace with matching labels. Objects without a value are left out; when none
// has one the answer is not found, with the reasons. No object at all is an
// empty list.
func (p *Provider) GetMetricBySelector(_ context.Context, namespace string, selector labels.Selector, info cmprovider.CustomMetricInfo, metricSelector labels.Selector) (*custom_metrics.MetricValueList, error) {
	series := seriesOf(info)
	if err := selectable(info, metricSelector); err != nil {
		return nil, err
	}
	match := func(set map[string]string) bool { return selector.Matches(labels.Set(set)) }
	if selector == nil || selector.Empty() {
		match = nil
	}
	list, err := p.source.Select(series, namespace, match, p.clock.Now())
	if errors.Is(err, store.ErrNoSeries) {
		return nil, unknownMetric(info)
	}
	if err != nil {
		return nil, fmt.Errorf("selecting metric %s of %s in %s: %w", info.Metric, info.GroupResource, namespace, err)
	}
	if len(list.Values) == 0 && len(list.Absent) > 0 {
		return nil, notFound("%s", list.Sentence())
	}
	answer := &custom_metrics.MetricValueList{Items: make([]custom_metrics.MetricValue, len(list.Values))}
	for i, v := range list.Values {
		answer.Items[i] = valueOf(series, v)
	}
	return answer, nil
}

// ListAllMetrics lists what discovery shows: the metrics there can be, not the
// values there are.
func (p *Provider) ListAllMetrics() []cmprovider.CustomMetricInfo {
	all := make([]cmprovider.CustomMetricInfo, 0, len(store.Catalogue))
	for _, s := range store.Catalogue {
		all = append(all, InfoOf(s))
	}
	return all
}

func valueOf(s store.Series, v store.Value) custom_metrics.MetricValue {
	ref := described[s.Resource]
	answer := custom_metrics.MetricValue{
		DescribedObject: custom_metrics.ObjectReference{APIVersion: ref.apiVersion, Kind: ref.kind, Namespace: v.Object.Namespace, Name: v.Object.Name},
		Metric:          custom_metrics.MetricIdentifier{Name: string(s.Metric)},
		Timestamp:       metav1.NewTime(v.At),
		Value:           Quantity(v.Value),
	}
	if v.Window > 0 {
		seconds := max(1, int64(v.Window.Round(time.Second)/time.Second))
		answer.WindowSeconds = &seconds
	}
	return answer
}

// Quantity is a value in thousandths, rounded up: a request of a few milliseconds
// in a minute is little, but it is not nothing, and zero is what replicas go away for.
//
//	0.0004 → 1m; 1.5 → 1500m; 2 + 10⁻¹² (a sum's noise) → 2
func Quantity(v float64) resource.Quantity {
	const noise = 1e-6
	return *resource.NewMilliQuantity(int64(math.Ceil(v*1000-noise)), resource.DecimalSI)
}

// selectable refuses a selector on labels of the metric: ours have none, so one
// that asks for some matches nothing.
func selectable(info cmprovider.CustomMetricInfo, s labels.Selector) error {
	if s == nil || s.Empty() || s.Matches(labels.Set{}) {
		return nil
	}
	return notFound("metric %s has no labels, so the metric selector %q matches nothing. Remove the selector.", info.Metric, s)
}

func unknownMetric(info cmprovider.CustomMetricInfo) error {
	return notFound("rawserve has no metric %s for %s", info.Metric, info.GroupResource)
}

func notFound(format string, args ...any) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusNotFound,
		Reason:  metav1.StatusReasonNotFound,
		Message: fmt.Sprintf(format, args...),
	}}
}
