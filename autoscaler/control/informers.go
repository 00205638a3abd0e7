package control

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/client/informers/externalversions"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler/collect"
)

// The indices of the caches.
const (
	byTarget  = "target"  // Scalers by the Deployment they scale
	byRoute   = "route"   // Scalers by their route
	byService = "service" // routes, and EndpointSlices, by their Service
)

// The labels that select what is watched.
const (
	labelService   = "serving.kserve.io/inferenceservice"
	labelName      = "app.kubernetes.io/name"
	labelComponent = "app.kubernetes.io/component"
)

// informers are the caches of what decisions are made from. What they hold is
// trimmed to what is read.
type informers struct {
	scalers, inferenceRoutes, deployments, pods, services, slices, activators cache.SharedIndexInformer
	synced                                                                    []cache.InformerSynced
	factories                                                                 []factory
}

type factory interface {
	Start(stop <-chan struct{})
	Shutdown()
}

func newInformers(o Options, scaler, route func(string), sliceGone func(*discoveryv1.EndpointSlice)) (*informers, error) {
	rawserve := externalversions.NewSharedInformerFactoryWithOptions(o.Rawserve, 0, externalversions.WithTransform(trim))
	kube := kubeinformers.NewSharedInformerFactoryWithOptions(o.Kubernetes, 0, kubeinformers.WithTransform(trim))
	pods := kubeinformers.NewSharedInformerFactoryWithOptions(o.Kubernetes, 0, kubeinformers.WithTransform(trim),
		kubeinformers.WithTweakListOptions(func(l *metav1.ListOptions) { l.LabelSelector = labelService }))
	activators := kubeinformers.NewSharedInformerFactoryWithOptions(o.Kubernetes, 0, kubeinformers.WithTransform(trim),
		kubeinformers.WithNamespace(o.SystemNamespace),
		kubeinformers.WithTweakListOptions(func(l *metav1.ListOptions) {
			l.LabelSelector = labels.Set{labelName: "rawserve", labelComponent: "activator"}.String()
		}))
	i := &informers{
		scalers:         rawserve.Rawserve().V1alpha1().Scalers().Informer(),
		inferenceRoutes: rawserve.Rawserve().V1alpha1().InferenceRoutes().Informer(),
		deployments:     kube.Apps().V1().Deployments().Informer(),
		services:        kube.Core().V1().Services().Informer(),
		slices:          kube.Discovery().V1().EndpointSlices().Informer(),
		pods:            pods.Core().V1().Pods().Informer(),
		activators:      activators.Core().V1().Pods().Informer(),
		factories:       []factory{rawserve, kube, pods, activators},
	}
	for _, err := range []error{
		i.scalers.AddIndexers(cache.Indexers{byTarget: scalerTarget, byRoute: scalerRoute}),
		i.inferenceRoutes.AddIndexers(cache.Indexers{byService: routeService}),
		i.slices.AddIndexers(cache.Indexers{byService: sliceService}),
	} {
		if err != nil {
			return nil, fmt.Errorf("indexing the caches of the autoscaler: %w", err)
		}
	}
	return i, i.handle(scaler, route, sliceGone)
}

// handle has the Scalers and routes that a change concerns looked at.
func (i *informers) handle(scaler, route func(string), sliceGone func(*discoveryv1.EndpointSlice)) error {
	scalersOf := func(index, key string) {
		for _, s := range indexed[*v1alpha1.Scaler](i.scalers, index, key) {
			scaler(cache.MetaObjectToName(s).String())
		}
	}
	routesOf := func(service string) {
		for _, r := range indexed[*v1alpha1.InferenceRoute](i.inferenceRoutes, byService, service) {
			route(cache.MetaObjectToName(r).String())
		}
	}
	return register(
		on(i.scalers, func(old, s *v1alpha1.Scaler) {
			// A route that a Scaler leaves may have nobody to speak for it any more.
			if old != nil && old.Spec.RouteName != "" && (s == nil || s.DeletionTimestamp != nil || s.Spec.RouteName != old.Spec.RouteName) {
				route(old.Namespace + "/" + old.Spec.RouteName)
			}
			if old == nil || s == nil || old.Generation != s.Generation || s.DeletionTimestamp != nil {
				scaler(cache.MetaObjectToName(either(old, s)).String())
			}
		}),
		on(i.deployments, func(old, d *appsv1.Deployment) {
			if old == nil || d == nil || replicasOf(old) != replicasOf(d) || old.Status.ReadyReplicas != d.Status.ReadyReplicas {
				scalersOf(byTarget, cache.MetaObjectToName(either(old, d)).String())
			}
		}),
		on(i.inferenceRoutes, func(old, r *v1alpha1.InferenceRoute) {
			key := cache.MetaObjectToName(either(old, r)).String()
			route(key)
			if old == nil || r == nil || old.Generation != r.Generation || old.Status.Path != r.Status.Path || old.Status.ObservedGeneration != r.Status.ObservedGeneration {
				scalersOf(byRoute, key)
			}
		}),
		on(i.services, func(old, s *corev1.Service) { routesOf(cache.MetaObjectToName(either(old, s)).String()) }),
		on(i.slices, func(old, s *discoveryv1.EndpointSlice) {
			slice := either(old, s)
			if s == nil {
				sliceGone(slice)
			}
			routesOf(slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName])
			if owner := slice.Annotations[annotationRoute]; owner != "" {
				route(slice.Namespace + "/" + owner)
			}
		}),
		on(i.activators, func(old, p *corev1.Pod) {
			if old != nil && p != nil && activatorOf(old) == activatorOf(p) {
				return
			}
			for _, r := range list[*v1alpha1.InferenceRoute](i.inferenceRoutes) {
				if throughActivators(r.Spec.Path) || throughActivators(r.Status.Path.Mode) || len(r.Status.Activators) > 0 {
					route(cache.MetaObjectToName(r).String())
				}
			}
		}),
		on(i.pods, func(_, _ *corev1.Pod) {}),
	)(i)
}

// start starts the caches and returns what waits for their end.
func (i *informers) start(ctx context.Context) func() {
	for _, f := range i.factories {
		f.Start(ctx.Done())
	}
	return func() {
		for _, f := range i.factories {
			f.Shutdown()
		}
	}
}

func (i *informers) listScalers() []*v1alpha1.Scaler { return list[*v1alpha1.Scaler](i.scalers) }

// on calls changed with the old and the new object; one of them is nil when the
// object came or went.
func on[T metav1.Object](informer cache.SharedIndexInformer, changed func(old, now T)) func(*informers) error {
	return func(i *informers) error {
		var none T
		registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { changed(none, o.(T)) },
			UpdateFunc: func(old, o any) { changed(old.(T), o.(T)) },
			DeleteFunc: func(o any) {
				if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
					o = gone.Obj
				}
				if object, ok := o.(T); ok {
					changed(object, none)
				}
			},
		})
		if err != nil {
			return fmt.Errorf("watching: %w", err)
		}
		i.synced = append(i.synced, registration.HasSynced)
		return nil
	}
}

func register(handlers ...func(*informers) error) func(*informers) error {
	return func(i *informers) error {
		for _, h := range handlers {
			if err := h(i); err != nil {
				return err
			}
		}
		return nil
	}
}

// either returns the new object, or the old one when there is no new one.
func either[T comparable](old, now T) T {
	var none T
	if now == none {
		return old
	}
	return now
}

func list[T any](informer cache.SharedIndexInformer) []T {
	items := informer.GetStore().List()
	out := make([]T, 0, len(items))
	for _, item := range items {
		out = append(out, item.(T))
	}
	return out
}

func indexed[T any](informer cache.SharedIndexInformer, index, key string) []T {
	items, err := informer.GetIndexer().ByIndex(index, key)
	if err != nil {
		return nil // the index is made in newInformers
	}
	out := make([]T, 0, len(items))
	for _, item := range items {
		out = append(out, item.(T))
	}
	return out
}

// get returns the object of a cache; false without one.
func get[T any](informer cache.SharedIndexInformer, key string) (T, bool) {
	item, exists, err := informer.GetStore().GetByKey(key)
	if err != nil || !exists {
		var none T
		return none, false
	}
	return item.(T), true
}

func scalerTarget(o any) ([]string, error) {
	s := o.(*v1alpha1.Scaler)
	return []string{s.Namespace + "/" + s.Spec.ScaleTargetRef.Name}, nil
}

func scalerRoute(o any) ([]string, error) {
	s := o.(*v1alpha1.Scaler)
	if s.Spec.RouteName == "" {
		return nil, nil
	}
	return []string{s.Namespace + "/" + s.Spec.RouteName}, nil
}

func routeService(o any) ([]string, error) {
	r := o.(*v1alpha1.InferenceRoute)
	return []string{r.Namespace + "/" + r.Spec.ServiceName}, nil
}

func sliceService(o any) ([]string, error) {
	s := o.(*discoveryv1.EndpointSlice)
	return []string{s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName]}, nil
}

// metricsOf are the metrics that decisions about the Scaler need.
func metricsOf(s *v1alpha1.Scaler) []string {
	metrics := []string{collect.Concurrency, collect.ReportingPods}
	if s.Spec.RouteName != "" {
		metrics = append(metrics, collect.Waiting)
	}
	if slices.ContainsFunc(s.Spec.Metrics, func(m v1alpha1.ScalerMetric) bool { return m.Name == v1alpha1.MetricRPS }) {
		metrics = append(metrics, collect.RPS)
	}
	return metrics
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

func throughActivators(mode v1alpha1.PathMode) bool {
	return mode == v1alpha1.PathActivator || mode == v1alpha1.PathActivatorOnly
}
