package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/client/informers/externalversions"
	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
)

const (
	// modelPods selects the pods of InferenceServices.
	modelPods = "serving.kserve.io/inferenceservice"
	// byLabel is the index of pods by each of their labels.
	byLabel = "label"
	// applyPause lets several changes of routes be applied as one.
	applyPause = 10 * time.Millisecond
)

// Watch follows routes and pods until ctx is done. The activator serves once both
// have been read and every port is open, and goes on with what it knows also when
// the API server is away. It is ready once it has acknowledged the routes that
// lead through activators: only then can it be their endpoint, and before that
// the one that it replaces must not go. How long it waits for that is bounded, and
// whether the controller takes notice is another matter.
func (s *Server) Watch(ctx context.Context, kube kubernetes.Interface, rawserve versioned.Interface) error {
	podFactory := informers.NewSharedInformerFactoryWithOptions(kube, 0,
		informers.WithTransform(trimPod),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = modelPods }))
	pods := podFactory.Core().V1().Pods().Informer()
	if err := pods.AddIndexers(cache.Indexers{byLabel: indexByLabel}); err != nil {
		return fmt.Errorf("indexing pods: %w", err)
	}
	s.index.lookup = func(label string) []*corev1.Pod {
		objects, _ := pods.GetIndexer().ByIndex(byLabel, label)
		out := make([]*corev1.Pod, 0, len(objects))
		for _, o := range objects {
			if p, ok := o.(*corev1.Pod); ok {
				out = append(out, p)
			}
		}
		return out
	}
	routeFactory := externalversions.NewSharedInformerFactoryWithOptions(rawserve, 0, externalversions.WithTransform(trimRoute))
	routes := routeFactory.Rawserve().V1alpha1().InferenceRoutes().Informer()

	s.acks.open()
	defer s.acks.queue.ShutDown()
	changed := make(chan struct{}, 1)
	podsSeen, err := pods.AddEventHandler(s.podHandler())
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	routesSeen, err := routes.AddEventHandler(s.routeHandler(changed))
	if err != nil {
		return fmt.Errorf("watching routes: %w", err)
	}
	podFactory.Start(ctx.Done())
	routeFactory.Start(ctx.Done())
	defer podFactory.Shutdown()
	defer routeFactory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), podsSeen.HasSynced, routesSeen.HasSynced) {
		return ctx.Err()
	}
	acking := make(chan struct{})
	go func() {
		defer close(acking)
		s.acks.run(ctx)
	}()
	s.follow(ctx, routes.GetStore(), changed)
	<-acking
	return ctx.Err()
}

// follow applies the routes whenever they change.
func (s *Server) follow(ctx context.Context, store cache.Store, changed <-chan struct{}) {
	// Ports of deleted routes are closed and ports that were taken are tried again.
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	var readying sync.WaitGroup
	defer readying.Wait()
	var first sync.Once
	for {
		objects := make([]*v1alpha1.InferenceRoute, 0, len(store.ListKeys()))
		for _, o := range store.List() {
			if r, ok := o.(*v1alpha1.InferenceRoute); ok {
				objects = append(objects, r)
			}
		}
		acks := s.applyRoutes(objects, time.Now())
		s.acks.want(objects, acks)
		first.Do(func() { readying.Go(func() { s.awaitAcks(ctx, len(objects)) }) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			continue
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(applyPause):
		}
	}
}

// awaitAcks makes the activator ready when nothing is owed to the routes that it
// began with, or has been for too long.
func (s *Server) awaitAcks(ctx context.Context, routes int) {
	overdue := time.NewTimer(s.config.Kubernetes.AckWait.Duration)
	defer overdue.Stop()
	select {
	case <-ctx.Done():
		return
	case <-s.acks.paid:
	case <-overdue.C:
		if n, _ := s.acks.owing(); n > 0 {
			s.log.Warn("acknowledgements are overdue; ready without them", "owed", n)
		}
	}
	s.ready.Store(true)
	s.log.Info("ready", "routes", routes)
}

func (s *Server) routeHandler(changed chan<- struct{}) cache.ResourceEventHandler {
	signal := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { signal() },
		DeleteFunc: func(any) { signal() },
		UpdateFunc: func(before, after any) {
			a, ok := before.(*v1alpha1.InferenceRoute)
			b, ok2 := after.(*v1alpha1.InferenceRoute)
			if !ok || !ok2 {
				return
			}
			if a.Generation != b.Generation || a.UID != b.UID {
				signal()
				return
			}
			// Only the status has changed: perhaps somebody removed our entry, or
			// another activator has come or gone.
			s.acks.check(b)
			if rt := s.find(types.NamespacedName{Namespace: b.Namespace, Name: b.Name}); rt != nil {
				s.setMember(rt, b)
			}
		},
	}
}

func (s *Server) podHandler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if p, ok := o.(*corev1.Pod); ok {
				s.podChanged(nil, p)
			}
		},
		UpdateFunc: func(before, after any) {
			a, ok := before.(*corev1.Pod)
			b, ok2 := after.(*corev1.Pod)
			if ok && ok2 {
				s.podChanged(a, b)
			}
		},
		DeleteFunc: func(o any) {
			if unknown, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = unknown.Obj
			}
			if p, ok := o.(*corev1.Pod); ok {
				s.podGone(p)
			}
		},
	}
}

func indexByLabel(o any) ([]string, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return nil, errors.New("not a pod")
	}
	keys := make([]string, 0, len(p.Labels))
	for k, v := range p.Labels {
		keys = append(keys, labelKey(p.Namespace, k, v))
	}
	return keys, nil
}

// trimPod keeps of a pod what the activator reads: a fleet's pod specs are most
// of the memory that a watch takes.
func trimPod(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: p.Namespace, UID: p.UID, ResourceVersion: p.ResourceVersion,
			Labels: p.Labels, DeletionTimestamp: p.DeletionTimestamp,
		},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message, PodIP: p.Status.PodIP, StartTime: p.Status.StartTime,
			Conditions:            p.Status.Conditions,
			InitContainerStatuses: p.Status.InitContainerStatuses,
			ContainerStatuses:     p.Status.ContainerStatuses,
		},
	}, nil
}

// trimRoute drops what only people and the API server read.
func trimRoute(o any) (any, error) {
	r, ok := o.(*v1alpha1.InferenceRoute)
	if !ok {
		return o, nil
	}
	trimmed := *r
	trimmed.ManagedFields, trimmed.Annotations, trimmed.OwnerReferences = nil, nil, nil
	trimmed.Status.Conditions = nil
	return &trimmed, nil
}
