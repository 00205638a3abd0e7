package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
)

// unseenFor is how long an object that we made may be missing from the cache
// before it is taken to be gone. Watches are faster by far.
const unseenFor = 30 * time.Second

// applier writes objects, and none that are as they should be. It remembers what
// it wrote, because caches lag behind. Safe for concurrent use for distinct objects.
type applier struct {
	client  dynamic.Interface
	clock   clock.PassiveClock
	metrics *metrics

	mu sync.Mutex
	// last has the latest known write to each object.
	last map[objectKey]written
}

type objectKey struct {
	kind            *kind
	namespace, name string
}

func (k objectKey) String() string {
	return fmt.Sprintf("%s %s/%s", k.kind.Kind, k.namespace, k.name)
}

// written is what is known of an object of which we know that it was as wanted.
type written struct {
	owner           types.UID
	uid             types.UID
	resourceVersion string
	hash            string
	// digest is of the fields that were ours then.
	digest string
	at     time.Time
}

// taken is the error of a name that belongs to an object of somebody else.
type taken struct{ key objectKey }

// Error implements error.
func (e taken) Error() string {
	return fmt.Sprintf("%s exists and is not controlled by this InferenceService, so it is left alone. Delete it, or give the InferenceService another name.", e.key)
}

// errLeftover is of a leftover: returned while an object of a deleted InferenceService of the
// same name has not been collected yet.
var errLeftover = errors.New("an object of a deleted InferenceService of the same name is still there")

// leftover is an object that is to be gone before another of its name can be made.
type leftover struct {
	key objectKey
	// deleted says whether its deletion has begun.
	deleted    bool
	finalizers []string
}

// Error implements error.
func (l leftover) Error() string { return l.message() }

// Unwrap makes it an errLeftover.
func (l leftover) Unwrap() error { return errLeftover }

func (l leftover) message() string {
	switch {
	case len(l.finalizers) > 0:
		return fmt.Sprintf("%s is being deleted and still has the finalizers %s, so another cannot be made. See what is to remove them.", l.key, strings.Join(l.finalizers, ", "))
	case l.deleted:
		return fmt.Sprintf("%s is being deleted, so another cannot be made. See what holds it up.", l.key)
	}
	return fmt.Sprintf("%s belongs to a deleted InferenceService of the same name. Kubernetes' garbage collector is to delete it; if that does not happen, delete it yourself.", l.key)
}

// ensure makes one object what it should be and says whether that took a write.
// cached is what the cache has under the name, nil if nothing.
func (a *applier) ensure(ctx context.Context, isvc *v1beta1.InferenceService, w wanted, cached *held) (changed bool, err error) {
	key := objectKey{w.kind, isvc.Namespace, w.object.GetName()}
	if cached != nil {
		if err := ownedBy(isvc, key, cached); err != nil {
			return false, err
		}
	}
	known := a.known(key, isvc.UID, cached)
	if known == nil {
		return true, a.create(ctx, isvc, key, w)
	}
	behind := cached == nil || newer(known.resourceVersion, cached.ResourceVersion)
	// Digests leave replicas out; where they are ours to keep, whoever changed them took them.
	scaled := w.appliesReplicas() && !behind && !cached.fields.scaled
	if known.hash == w.hash && !scaled {
		return false, nil
	}
	// What the cache has not seen is looked at.
	handover := behind || cached.fields.handover || cached.fields.replicas && !w.appliesReplicas()
	return true, a.update(ctx, isvc, key, w, known.uid, handover)
}

// known is what is known of an object: nil if it is not there, with an empty hash
// if what is there is not what we wrote.
func (a *applier) known(key objectKey, owner types.UID, cached *held) *written {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, wrote := a.last[key]
	wrote = wrote && last.owner == owner
	if cached == nil {
		if wrote && a.clock.Since(last.at) < unseenFor {
			return &last
		}
		return nil
	}
	if wrote && last.uid == cached.UID {
		if newer(last.resourceVersion, cached.ResourceVersion) {
			return &last
		}
		if last.hash == cached.applied && last.digest == cached.fields.digest {
			return &last
		}
		return &written{uid: cached.UID}
	}
	if cached.applied == "" || cached.fields.suspect {
		return &written{uid: cached.UID}
	}
	// The first look after a start.
	seen := written{owner: owner, uid: cached.UID, resourceVersion: cached.ResourceVersion, hash: cached.applied, digest: cached.fields.digest, at: a.clock.Now()}
	a.last[key] = seen
	return &seen
}

// newer says whether a is a later version than b. Versions that cannot be
// compared are not: the cache is believed then.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// ownedBy checks that the InferenceService controls the object.
func ownedBy(isvc *v1beta1.InferenceService, key objectKey, object metav1.Object) error {
	owner := metav1.GetControllerOfNoCopy(object)
	switch {
	case owner != nil && owner.UID == isvc.UID:
		if object.GetDeletionTimestamp() != nil {
			return leftover{key, true, object.GetFinalizers()}
		}
		return nil
	case owner != nil && owner.Kind == isvcKind && isServingGroup(owner.APIVersion) && owner.Name == isvc.Name:
		return leftover{key, object.GetDeletionTimestamp() != nil, object.GetFinalizers()}
	default:
		return taken{key}
	}
}

func (a *applier) create(ctx context.Context, isvc *v1beta1.InferenceService, key objectKey, w wanted) error {
	object, err := w.forCreation()
	if err != nil {
		return err
	}
	resource := a.client.Resource(w.kind.resource).Namespace(isvc.Namespace)
	made, err := resource.Create(ctx, object, metav1.CreateOptions{FieldManager: deployer.FieldManager})
	a.metrics.wrote(key.kind, "create", err)
	if apierrors.IsAlreadyExists(err) {
		// Either the cache is behind, or somebody else's object has no label of ours.
		live, err := resource.Get(ctx, key.name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("reading %s, which exists already: %w", key, err)
		}
		if err := ownedBy(isvc, key, live); err != nil {
			return err
		}
		return a.update(ctx, isvc, key, w, live.GetUID(), true)
	}
	if err != nil {
		return fmt.Errorf("creating %s: %w", key, err)
	}
	a.remember(key, isvc.UID, w.hash, made)
	return nil
}

func (a *applier) update(ctx context.Context, isvc *v1beta1.InferenceService, key objectKey, w wanted, uid types.UID, handover bool) error {
	resource := a.client.Resource(w.kind.resource).Namespace(isvc.Namespace)
	if handover {
		if err := a.handOver(ctx, resource, key, w); err != nil {
			return err
		}
	}
	// With the UID the API server refuses to make, or to change, another object of the name.
	object := w.object.DeepCopy()
	object.SetUID(uid)
	result, err := resource.Apply(ctx, key.name, object, metav1.ApplyOptions{FieldManager: deployer.FieldManager, Force: true})
	a.metrics.wrote(key.kind, "apply", err)
	if err != nil {
		a.forget(key, uid)
		return fmt.Errorf("applying %s: %w", key, err)
	}
	a.remember(key, isvc.UID, w.hash, result)
	return nil
}

// handOver makes all that is ours ours by applying; see the function of that name.
func (a *applier) handOver(ctx context.Context, resource dynamic.ResourceInterface, key objectKey, w wanted) error {
	live, err := resource.Get(ctx, key.name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("reading %s: %w", key, err)
	}
	fields, changed, err := handOver(live.GetManagedFields(), w.kind.GroupVersion().String(), w.appliesReplicas())
	if err != nil {
		return fmt.Errorf("taking over the fields of %s: %w", key, err)
	}
	if !changed {
		return nil
	}
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": "/metadata/managedFields", "value": fields},
		{"op": "replace", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
	})
	if err != nil {
		return fmt.Errorf("encoding the fields of %s: %w", key, err)
	}
	_, err = resource.Patch(ctx, key.name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: deployer.FieldManager})
	a.metrics.wrote(key.kind, "patch", err)
	if err != nil {
		return fmt.Errorf("taking over the fields of %s: %w", key, err)
	}
	return nil
}

// remove deletes an object that is not wanted any more.
func (a *applier) remove(ctx context.Context, h *held) error {
	key := objectKey{h.kind, h.Namespace, h.Name}
	background := metav1.DeletePropagationBackground
	err := a.client.Resource(h.kind.resource).Namespace(h.Namespace).Delete(ctx, h.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &h.UID}, PropagationPolicy: &background,
	})
	a.metrics.wrote(key.kind, "delete", err)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s: %w", key, err)
	}
	a.forget(key, h.UID)
	return nil
}

func (a *applier) remember(key objectKey, owner types.UID, hash string, result *unstructured.Unstructured) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last[key] = written{
		owner: owner, uid: result.GetUID(), resourceVersion: result.GetResourceVersion(), hash: hash,
		digest: ownershipOf(result.GetManagedFields()).digest, at: a.clock.Now(),
	}
}

// forget drops what is known of an object that is gone.
func (a *applier) forget(key objectKey, uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last[key].uid == uid {
		delete(a.last, key)
	}
}
