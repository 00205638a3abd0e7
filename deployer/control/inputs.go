package control

import (
	"context"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/rawserve/rawserve/api/serving/v1alpha1"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/revision"
)

// owned are the objects that an InferenceService controls, as cached.
type owned struct {
	byKind map[*kind][]*held
	// caches are for names that others may have; see named.
	caches caches
}

func (c *Controller) ownedBy(isvc *v1beta1.InferenceService) (owned, error) {
	out := owned{byKind: map[*kind][]*held{}, caches: c.caches}
	for k, indexer := range c.caches.held {
		items, err := indexer.ByIndex(byOwner, string(isvc.UID))
		if err != nil {
			return owned{}, fmt.Errorf("looking up each %s of %s/%s: %w", k.Kind, isvc.Namespace, isvc.Name, err)
		}
		for _, item := range items {
			if h, ok := item.(*held); ok {
				out.byKind[k] = append(out.byKind[k], h)
			}
		}
	}
	return out, nil
}

// named returns the cached object of the name, whoever controls it, or nil.
func (o owned) named(k *kind, namespace, name string) *held {
	item, ok, err := o.caches.held[k].GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil
	}
	h, _ := item.(*held)
	return h
}

// own returns the object of the name that the InferenceService controls, or nil.
func (o owned) own(k *kind, name string) *held {
	for _, h := range o.byKind[k] {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// history are the revisions recorded so far.
func (o owned) history() ([]revision.Record, error) {
	var out []revision.Record
	for _, h := range o.byKind[revisionKind] {
		if h.broken != nil {
			return nil, h.broken
		}
		out = append(out, *h.record)
	}
	return out, nil
}

// chooseRuntime selects the runtime. latest, the revision in force, may bind: to
// the choice always, and to the runtime's content where the user froze it.
func (c *Controller) chooseRuntime(ctx context.Context, isvc *v1beta1.InferenceService, latest *revision.Record) (*deployer.ChosenRuntime, error) {
	if recorded, err := c.frozenRuntime(ctx, isvc, latest); err != nil || recorded != nil {
		return recorded, err
	}
	var namespaced []v1alpha1.ServingRuntime
	items, err := c.caches.runtimes.ByIndex(cache.NamespaceIndex, isvc.Namespace)
	if err != nil {
		return nil, fmt.Errorf("listing the serving runtimes of %s: %w", isvc.Namespace, err)
	}
	for _, item := range items {
		if r, ok := item.(*v1alpha1.ServingRuntime); ok {
			namespaced = append(namespaced, *r)
		}
	}
	var cluster []v1alpha1.ClusterServingRuntime
	for _, item := range c.caches.clusterRuntimes.List() {
		if r, ok := item.(*v1alpha1.ClusterServingRuntime); ok {
			cluster = append(cluster, *r)
		}
	}
	var frozen *deployer.RuntimeRef
	if latest != nil {
		frozen = latest.Runtime
	}
	return deployer.SelectRuntime(isvc, namespaced, cluster, frozen)
}

// frozenRuntime is the runtime as recorded where the user froze it, nil elsewhere.
// It is looked for before anything is selected: the runtime may have been disabled
// or deleted, which is no reason to change what was frozen.
func (c *Controller) frozenRuntime(ctx context.Context, isvc *v1beta1.InferenceService, latest *revision.Record) (*deployer.ChosenRuntime, error) {
	if !revision.Frozen(isvc, latest) || latest.Runtime == nil {
		return nil, nil
	}
	recorded, err := c.Kubernetes.AppsV1().ControllerRevisions(isvc.Namespace).Get(ctx, latest.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading revision %s/%s: %w", isvc.Namespace, latest.Name, err)
	}
	data, err := revision.ReadData(recorded)
	if err != nil || data.Runtime == nil {
		return nil, err
	}
	return deployer.RecordedRuntime(isvc, *latest.Runtime, *data.Runtime), nil
}

// credentialTTL is how long what a service account offers is believed. A change
// of its secrets shows in pods made after the next pass that follows.
const credentialTTL = 5 * time.Minute

// credentialCache remembers what service accounts offer, so that not every change
// of a pod reads secrets.
type credentialCache struct {
	mu      sync.Mutex
	entries map[string]credentialEntry
}

type credentialEntry struct {
	asked credentialQuestion
	until time.Time
	offer deployer.Credentials
}

// credentialQuestion is what decides which secrets are looked at. Annotations are
// in no generation, nor are the runtime's.
type credentialQuestion struct {
	generation int64
	named      string
}

func (c *credentialCache) get(key string, asked credentialQuestion, now time.Time) (deployer.Credentials, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	return e.offer, ok && e.asked == asked && now.Before(e.until)
}

func (c *credentialCache) put(key string, e credentialEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries[key] = e
}

func (c *credentialCache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, key)
}

// offeredCredentials reads the service account and those of its secrets that
// matter. They are read one by one, because a cache of all secrets would need the
// right to list them.
func (c *Controller) offeredCredentials(ctx context.Context, isvc *v1beta1.InferenceService, runtime *deployer.ChosenRuntime) (deployer.Credentials, error) {
	key := isvc.Namespace + "/" + isvc.Name
	asked := credentialQuestion{isvc.Generation, deployer.StorageSecretName(isvc, runtime)}
	if offer, ok := c.credentials.get(key, asked, c.Clock.Now()); ok {
		return offer, nil
	}
	account := deployer.ServiceAccountName(isvc)
	sa, err := c.Kubernetes.CoreV1().ServiceAccounts(isvc.Namespace).Get(ctx, account, metav1.GetOptions{})
	missing := false
	if apierrors.IsNotFound(err) {
		sa, missing = nil, true
	} else if err != nil {
		return deployer.Credentials{}, fmt.Errorf("reading service account %s/%s: %w", isvc.Namespace, account, err)
	}
	var secrets []*corev1.Secret
	for _, name := range deployer.CredentialSecrets(isvc, asked.named, sa, c.Config) {
		secret, err := c.Kubernetes.CoreV1().Secrets(isvc.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			missing = true
			continue
		} else if err != nil {
			return deployer.Credentials{}, fmt.Errorf("reading secret %s/%s: %w", isvc.Namespace, name, err)
		}
		secrets = append(secrets, secret)
	}
	offer, err := deployer.CredentialsFrom(sa, secrets, asked.named, c.Config)
	if err != nil {
		return deployer.Credentials{}, fmt.Errorf("reading the credentials of %s: %w", key, err)
	}
	if missing {
		// Whoever is told what is missing makes it, and should not have to wait.
		c.credentials.forget(key)
		return offer, nil
	}
	c.credentials.put(key, credentialEntry{asked, c.Clock.Now().Add(credentialTTL), offer})
	return offer, nil
}

// listenPorts allocates the ports on which activators listen for a component.
func (c *Controller) listenPorts(isvc *v1beta1.InferenceService, runtime *deployer.ChosenRuntime) (map[int32]int32, error) {
	servicePorts, err := deployer.ServicePorts(isvc, runtime, c.Config)
	if err != nil {
		return nil, err
	}
	var routed []int32
	for _, p := range servicePorts {
		if p.Routed() {
			routed = append(routed, p.Port)
		}
	}
	c.portsMu.Lock()
	defer c.portsMu.Unlock()
	return c.ports.Allocate(isvc.Namespace, deployer.Name(isvc, deployer.Predictor), routed)
}

// formerPorts are the ports on which requests have reached the predictor so far, as
// long as more ready pods are of former revisions than of the given one. At equal
// numbers Kubernetes goes on to remove the former ones.
func (c *Controller) formerPorts(isvc *v1beta1.InferenceService, have owned, revision string) (map[int32]int32, error) {
	route := have.own(routeKind, deployer.Name(isvc, deployer.Predictor))
	if route == nil {
		return nil, nil
	}
	pods, err := c.podsOf(isvc)
	if err != nil || !formerServe(pods, revision) {
		return nil, err
	}
	out := map[int32]int32{}
	for _, p := range route.route.Spec.Ports {
		out[p.ServicePort] = p.TargetPort
	}
	return out, nil
}

// recordRevision writes a revision down before anything is named after it.
func (c *Controller) recordRevision(ctx context.Context, isvc *v1beta1.InferenceService, rev deployer.Revision, hash string, runtime *deployer.ChosenRuntime) error {
	object, err := revision.Object(isvc, rev, hash, revision.Data{Predictor: isvc.Spec.Predictor, Runtime: runtime})
	if err != nil {
		return err
	}
	client := c.Kubernetes.AppsV1().ControllerRevisions(isvc.Namespace)
	_, err = client.Create(ctx, object, metav1.CreateOptions{FieldManager: deployer.FieldManager})
	c.metrics.wrote(revisionKind, "create", err)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return fmt.Errorf("recording revision %s/%s: %w", isvc.Namespace, rev.Name, err)
		}
		return nil
	}
	var found *appsv1.ControllerRevision
	if found, err = client.Get(ctx, rev.Name, metav1.GetOptions{}); err != nil {
		return fmt.Errorf("reading revision %s/%s, which exists already: %w", isvc.Namespace, rev.Name, err)
	}
	if err := ownedBy(isvc, objectKey{revisionKind, isvc.Namespace, rev.Name}, found); err != nil {
		return err
	}
	return revision.Same(found, hash)
}

// amendRevision keeps the recorded choice of runtime up to date where the pods stay
// the same. Else the record would speak of what the model asked for once, the next
// pass would choose anew, and a runtime installed later could replace a live one.
func (c *Controller) amendRevision(ctx context.Context, isvc *v1beta1.InferenceService, record *revision.Record, runtime *deployer.ChosenRuntime) error {
	if runtime == nil || record.Runtime != nil && *record.Runtime == runtime.Ref {
		return nil
	}
	patch, err := revision.Amendment(*record, runtime.Ref)
	if err != nil {
		return err
	}
	_, err = c.Kubernetes.AppsV1().ControllerRevisions(isvc.Namespace).Patch(ctx, record.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: deployer.FieldManager})
	c.metrics.wrote(revisionKind, "patch", err)
	if err != nil {
		return fmt.Errorf("amending revision %s/%s: %w", isvc.Namespace, record.Name, err)
	}
	return nil
}
