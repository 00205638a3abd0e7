package control

import (
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// caches are what a pass reads. What is in them is read-only.
type caches struct {
	isvcs, runtimes, clusterRuntimes, pods cache.Indexer
	// held are of *held, by kind, with an index by the UID of the controlling owner.
	held map[*kind]cache.Indexer
}

// Names of indexes.
const (
	byOwner   = "owner"
	byModel   = "model"
	byRuntime = "runtime"
)

// watch registers what the caches keep and which events lead to a pass.
func (c *Controller) watch() error {
	serving := c.rawserve.Serving()
	isvcs := serving.V1beta1().InferenceServices().Informer()
	runtimes := serving.V1alpha1().ServingRuntimes().Informer()
	clusterRuntimes := serving.V1alpha1().ClusterServingRuntimes().Informer()
	pods := c.kube.Core().V1().Pods().Informer()
	c.caches = caches{
		isvcs: isvcs.GetIndexer(), runtimes: runtimes.GetIndexer(), clusterRuntimes: clusterRuntimes.GetIndexer(),
		pods: pods.GetIndexer(), held: map[*kind]cache.Indexer{},
	}
	err := c.register(isvcs, trimMeta, cache.Indexers{byRuntime: runtimeIndex}, cache.ResourceEventHandlerFuncs{
		AddFunc:    c.enqueueObject,
		UpdateFunc: c.isvcUpdated,
		DeleteFunc: c.isvcDeleted,
	})
	if err != nil {
		return err
	}
	for _, informer := range []cache.SharedIndexInformer{runtimes, clusterRuntimes} {
		err := c.register(informer, trimMeta, nil, cache.ResourceEventHandlerFuncs{
			AddFunc:    c.runtimeChanged,
			UpdateFunc: c.runtimeUpdated,
			DeleteFunc: c.runtimeChanged,
		})
		if err != nil {
			return err
		}
	}
	err = c.register(pods, trimPod, cache.Indexers{byModel: modelIndex}, cache.ResourceEventHandlerFuncs{
		AddFunc:    c.podChanged,
		UpdateFunc: c.podUpdated,
		DeleteFunc: c.podChanged,
	})
	if err != nil {
		return err
	}
	for k, informer := range map[*kind]cache.SharedIndexInformer{
		serviceKind:    c.kube.Core().V1().Services().Informer(),
		deploymentKind: c.kube.Apps().V1().Deployments().Informer(),
		revisionKind:   c.kube.Apps().V1().ControllerRevisions().Informer(),
		hpaKind:        c.kube.Autoscaling().V2().HorizontalPodAutoscalers().Informer(),
		routeKind:      c.rawserve.Rawserve().V1alpha1().InferenceRoutes().Informer(),
		scalerKind:     c.rawserve.Rawserve().V1alpha1().Scalers().Informer(),
	} {
		c.caches.held[k] = informer.GetIndexer()
		err := c.register(informer, hold, cache.Indexers{byOwner: ownerIndex}, cache.ResourceEventHandlerFuncs{
			AddFunc:    c.heldAdded,
			UpdateFunc: c.heldUpdated,
			DeleteFunc: c.heldDeleted,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Controller) register(informer cache.SharedIndexInformer, trim cache.TransformFunc, indexers cache.Indexers, handler cache.ResourceEventHandler) error {
	if err := informer.SetTransform(trim); err != nil {
		return fmt.Errorf("setting what a cache keeps: %w", err)
	}
	if indexers != nil {
		if err := informer.AddIndexers(indexers); err != nil {
			return fmt.Errorf("adding an index: %w", err)
		}
	}
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return fmt.Errorf("adding a handler: %w", err)
	}
	c.delivered = append(c.delivered, registration.HasSynced)
	return nil
}

func ownerIndex(in any) ([]string, error) {
	if h, ok := in.(*held); ok {
		if owner := metav1.GetControllerOfNoCopy(h); owner != nil {
			return []string{string(owner.UID)}, nil
		}
	}
	return nil, nil
}

func modelIndex(in any) ([]string, error) {
	if pod, ok := in.(*corev1.Pod); ok {
		return []string{pod.Namespace + "/" + pod.Labels[v1beta1.LabelInferenceService]}, nil
	}
	return nil, nil
}

// runtimeIndex lists the runtimes on which an InferenceService depends: the one in
// use, the one it names, and any at all while it has none.
func runtimeIndex(in any) ([]string, error) {
	isvc, ok := in.(*v1beta1.InferenceService)
	if !ok {
		return nil, nil
	}
	var out []string
	if name := isvc.Status.ServingRuntimeName; name != "" {
		out = append(out, runtimeKey(deployer.Namespaced, isvc.Namespace, name))
	}
	if name := isvc.Status.ClusterServingRuntimeName; name != "" {
		out = append(out, runtimeKey(deployer.Cluster, "", name))
	}
	if m := isvc.Spec.Predictor.Model; m != nil && m.Runtime != nil {
		out = append(out, runtimeKey(deployer.Namespaced, isvc.Namespace, *m.Runtime), runtimeKey(deployer.Cluster, "", *m.Runtime))
	}
	if len(out) == 0 || isvc.Status.ModelStatus.TransitionStatus == v1beta1.TransitionInvalidSpec {
		out = append(out, runtimeKey(deployer.Namespaced, isvc.Namespace, ""), runtimeKey(deployer.Cluster, "", ""))
	}
	return out, nil
}

// runtimeKey names a runtime in the index; without a name, any of that scope.
func runtimeKey(scope deployer.RuntimeScope, namespace, name string) string {
	return fmt.Sprintf("%s/%s/%s", scope, namespace, name)
}

func (c *Controller) enqueueObject(in any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(in); err == nil {
		c.queue.Add(key)
	}
}

// isvcUpdated leaves out our own writes of the status.
func (c *Controller) isvcUpdated(before, after any) {
	a, b := before.(*v1beta1.InferenceService), after.(*v1beta1.InferenceService)
	key := b.Namespace + "/" + b.Name
	if a.UID == b.UID && a.Generation == b.Generation && reflect.DeepEqual(a.Annotations, b.Annotations) &&
		reflect.DeepEqual(a.Labels, b.Labels) && c.statuses.mine(key, b.ResourceVersion) {
		return
	}
	c.queue.Add(key)
}

func (c *Controller) isvcDeleted(in any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(in); err == nil {
		c.statuses.forget(key)
		c.credentials.forget(key)
		c.failures.forget(key)
		c.withdrawPorts(in)
		c.queue.Add(key)
	}
}

// withdrawPorts takes back the listen ports of an InferenceService that is gone
// before it had a route. Those of a route go with the route.
func (c *Controller) withdrawPorts(in any) {
	if gone, ok := in.(cache.DeletedFinalStateUnknown); ok {
		in = gone.Obj
	}
	if isvc, ok := in.(*v1beta1.InferenceService); ok {
		c.portsMu.Lock()
		defer c.portsMu.Unlock()
		c.ports.Withdraw(isvc.Namespace, deployer.Name(isvc, deployer.Predictor))
	}
}

// runtimeChanged gives a turn to whoever uses or waits for a runtime.
func (c *Controller) runtimeChanged(in any) {
	if gone, ok := in.(cache.DeletedFinalStateUnknown); ok {
		in = gone.Obj
	}
	scope, namespace, name := deployer.Namespaced, "", ""
	switch r := in.(type) {
	case *v1alpha1.ServingRuntime:
		namespace, name = r.Namespace, r.Name
	case *v1alpha1.ClusterServingRuntime:
		scope, name = deployer.Cluster, r.Name
	default:
		return
	}
	for _, index := range []string{runtimeKey(scope, namespace, name), runtimeKey(scope, namespace, "")} {
		keys, err := c.caches.isvcs.IndexKeys(byRuntime, index)
		if err != nil {
			c.Logger.Error("looking up the users of a runtime", "runtime", name, "error", err)
			continue
		}
		for _, key := range keys {
			c.queue.Add(key)
		}
	}
}

func (c *Controller) runtimeUpdated(before, after any) {
	a, b := before.(metav1.Object), after.(metav1.Object)
	if a.GetGeneration() == b.GetGeneration() && reflect.DeepEqual(a.GetLabels(), b.GetLabels()) && reflect.DeepEqual(a.GetAnnotations(), b.GetAnnotations()) {
		return
	}
	c.runtimeChanged(after)
}

func (c *Controller) podChanged(in any) {
	if gone, ok := in.(cache.DeletedFinalStateUnknown); ok {
		in = gone.Obj
	}
	if pod, ok := in.(*corev1.Pod); ok {
		c.queue.Add(pod.Namespace + "/" + pod.Labels[v1beta1.LabelInferenceService])
	}
}

// podUpdated passes on what a status depends on, which is all that is kept of pods.
func (c *Controller) podUpdated(before, after any) {
	a, b := before.(*corev1.Pod), after.(*corev1.Pod)
	if reflect.DeepEqual(a.Status, b.Status) && a.DeletionTimestamp.Equal(b.DeletionTimestamp) && reflect.DeepEqual(a.Labels, b.Labels) {
		return
	}
	c.podChanged(after)
}

func (c *Controller) heldAdded(in any) {
	h, ok := in.(*held)
	if !ok {
		return
	}
	c.seePorts(h)
	if key, _, ok := h.owner(); ok {
		c.queue.Add(key)
	}
}

func (c *Controller) heldUpdated(before, after any) {
	a, b := before.(*held), after.(*held)
	c.seePorts(b)
	key, _, ok := b.owner()
	if !ok {
		// Somebody took the object from its owner, who has to know.
		key, _, ok = a.owner()
	}
	if ok && !a.same(b) {
		c.queue.Add(key)
	}
}

func (c *Controller) heldDeleted(in any) {
	if gone, ok := in.(cache.DeletedFinalStateUnknown); ok {
		in = gone.Obj
	}
	h, ok := in.(*held)
	if !ok {
		return
	}
	c.applier.forget(objectKey{h.kind, h.Namespace, h.Name}, h.UID)
	if h.route != nil {
		c.portsMu.Lock()
		c.ports.Forget(h.Namespace, h.Name)
		c.portsMu.Unlock()
	}
	if key, _, ok := h.owner(); ok {
		c.queue.Add(key)
	}
}

// seePorts records the listen ports of a route, whosever it is.
func (c *Controller) seePorts(h *held) {
	if h.route == nil {
		return
	}
	listen := map[int32]int32{}
	for _, p := range h.route.Spec.Ports {
		listen[p.ServicePort] = p.ListenPort
	}
	c.portsMu.Lock()
	defer c.portsMu.Unlock()
	c.ports.See(h.Namespace, h.Name, h.CreationTimestamp.Time, listen)
}

// same says whether a pass would find nothing different.
func (h *held) same(other *held) bool {
	x, y := *h, *other
	x.ResourceVersion, y.ResourceVersion = "", ""
	return reflect.DeepEqual(x, y)
}
