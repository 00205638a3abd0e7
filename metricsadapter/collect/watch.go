package collect

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/client/informers/externalversions"
	rawservev1alpha1 "github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	servingv1beta1 "github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/metricsadapter/store"
)

// activatorLabels select the activators' pods.
var activatorLabels = labels.Set{"app.kubernetes.io/name": "rawserve", "app.kubernetes.io/component": "activator"}

// watch starts all watches and, when they have synced, starts the clock of Ready.
// It returns what ends them.
func (c *Collector) watch(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	pods := informers.NewSharedInformerFactoryWithOptions(c.opts.Kube, 0,
		informers.WithTransform(slim), informers.WithTweakListOptions(selecting(servingv1beta1.LabelInferenceService)))
	activators := informers.NewSharedInformerFactoryWithOptions(c.opts.Kube, 0, informers.WithNamespace(c.opts.Namespace),
		informers.WithTransform(slim), informers.WithTweakListOptions(selecting(activatorLabels.String())))
	ours := externalversions.NewSharedInformerFactoryWithOptions(c.opts.Rawserve, 0, externalversions.WithTransform(slimMeta))
	services := metadatainformer.NewSharedInformerFactoryWithOptions(c.opts.Metadata, 0, metadatainformer.WithTransform(slimMeta))

	st := c.opts.Store
	var synced []cache.DoneChecker
	for _, w := range []struct {
		what     string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"pods", pods.Core().V1().Pods().Informer(), handler(c.setPod, c.deletePod)},
		{"activators", activators.Core().V1().Pods().Informer(), handler(c.setActivator, c.deleteActivator)},
		{"scalers", ours.Rawserve().V1alpha1().Scalers().Informer(), handler(
			func(s *rawservev1alpha1.Scaler) { st.SetScaler(scalerOf(s)) }, func(s *rawservev1alpha1.Scaler) { st.DeleteScaler(keyOf(s)) })},
		{"inferenceroutes", ours.Rawserve().V1alpha1().InferenceRoutes().Informer(), handler(
			func(r *rawservev1alpha1.InferenceRoute) { st.SetRoute(routeOf(r)) }, func(r *rawservev1alpha1.InferenceRoute) { st.DeleteRoute(keyOf(r)) })},
		{"inferenceservices", services.ForResource(servingv1beta1.SchemeGroupVersion.WithResource("inferenceservices")).Informer(), handler(
			func(o *metav1.PartialObjectMetadata) { st.SetService(store.Service{Key: keyOf(o), Labels: o.Labels}) },
			func(o *metav1.PartialObjectMetadata) { st.DeleteService(keyOf(o)) })},
	} {
		registration, err := w.informer.AddEventHandler(w.handler)
		if err != nil {
			cancel()
			return nil, fmt.Errorf("watching %s: %w", w.what, err)
		}
		synced = append(synced, registration.HasSyncedChecker())
	}
	pods.StartWithContext(ctx)
	activators.StartWithContext(ctx)
	ours.StartWithContext(ctx)
	services.Start(ctx.Done())

	waited := make(chan struct{})
	go func() {
		defer close(waited)
		if cache.WaitFor(ctx, "", synced...) {
			at := time.Now().Add(warmUp)
			c.readyAt.Store(&at)
		}
	}()
	return func() {
		cancel()
		<-waited
		pods.Shutdown()
		activators.Shutdown()
		ours.Shutdown()
		services.Shutdown()
	}, nil
}

// selecting restricts a watch to a label selector.
func selecting(selector string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) { o.LabelSelector = selector }
}

// handler calls set for what is there and remove for what is gone.
func handler[T any](set, remove func(T)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if o, ok := obj.(T); ok {
				set(o)
			}
		},
		UpdateFunc: func(_, obj any) {
			if o, ok := obj.(T); ok {
				set(o)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if o, ok := obj.(T); ok {
				remove(o)
			}
		},
	}
}

func (c *Collector) setPod(p *corev1.Pod) {
	known, ok := podOf(p)
	if !ok {
		c.deletePod(p)
		return
	}
	c.opts.Store.SetPod(known)
	if t, ok := agentTarget(p); ok {
		c.wheel.set(t)
	} else {
		c.wheel.remove(id{kindAgent, keyOf(p)})
	}
}

func (c *Collector) deletePod(p *corev1.Pod) {
	c.opts.Store.DeletePod(keyOf(p), string(p.UID))
	c.wheel.remove(id{kindAgent, keyOf(p)})
}

func (c *Collector) setActivator(p *corev1.Pod) {
	known, ok := activatorOf(p)
	if !ok {
		c.deleteActivator(p)
		return
	}
	c.opts.Store.SetActivator(known)
	if t, ok := activatorTarget(p); ok {
		c.wheel.set(t)
	} else {
		c.wheel.remove(id{kindActivator, keyOf(p)})
	}
}

func (c *Collector) deleteActivator(p *corev1.Pod) {
	c.opts.Store.DeleteActivator(keyOf(p), string(p.UID))
	c.wheel.remove(id{kindActivator, keyOf(p)})
}
