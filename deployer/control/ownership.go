package control

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/rawserve/rawserve/deployer"
)

// ownership is what the managed fields of an object say about drift. Whoever
// changes or removes a value that we applied takes the field from our set, so as
// long as our set is what it was after our last write, so are the values: they
// need not be compared, and neither set nor values need be kept in memory.
type ownership struct {
	// digest stands for the set of fields that are ours.
	digest string
	// suspect is true when somebody unknown owns fields of the specification or
	// metadata. Without a digest to compare with, just after a start, one of these
	// fields may have been ours.
	suspect bool
	// handover is true when fields are ours by creation or were those of the
	// controller before us. Server-side apply removes only what is owned by
	// applying, so such fields have to be handed over before the next apply.
	handover bool
	// replicas is true when replicas are ours by applying. An apply that leaves them
	// out would remove them, so they have to be handed over before that.
	replicas bool
	// scaled is true when replicas are ours in whatever way.
	scaled bool
}

// formerManagers are the field managers of controllers that we take objects over
// from: KServe's binary is called manager.
var formerManagers = []string{"manager", "kserve-controller", "kserve-controller-manager"}

// systemManagers write to objects of ours without changing what we applied, in
// the resource itself and not only in a subresource.
var systemManagers = []string{"kube-controller-manager"}

// replicasPath is left out of digests: the scale is written by others all day.
var replicasPath = fieldpath.MakePathOrDie("spec", "replicas")

// ownershipOf reads the managed fields of an object.
func ownershipOf(entries []metav1.ManagedFieldsEntry) ownership {
	var out ownership
	sum := sha256.New()
	for _, entry := range entries {
		switch {
		case entry.Subresource != "":
		case entry.Manager == deployer.FieldManager:
			fmt.Fprintln(sum, entry.Operation, entry.APIVersion)
			set, err := fieldsOf(entry)
			if err != nil {
				out.suspect = true
				continue
			}
			rest := set.Difference(fieldpath.NewSet(replicasPath))
			if entry.Operation == metav1.ManagedFieldsOperationUpdate && !rest.Empty() {
				out.handover = true
			}
			if set.Has(replicasPath) {
				out.scaled = true
				out.replicas = out.replicas || entry.Operation == metav1.ManagedFieldsOperationApply
			}
			if text, err := rest.ToJSON(); err == nil {
				sum.Write(text)
			}
		case isFormer(entry):
			out.handover, out.suspect = true, true
		case !strings.HasPrefix(entry.Manager, "rawserve-") && !slices.Contains(systemManagers, entry.Manager):
			out.suspect = true
		}
	}
	out.digest = hex.EncodeToString(sum.Sum(nil)[:12])
	return out
}

func isFormer(entry metav1.ManagedFieldsEntry) bool {
	return entry.Operation == metav1.ManagedFieldsOperationUpdate && slices.Contains(formerManagers, entry.Manager)
}

// handOver returns managed fields in which all that was ours by creation, or a
// former controller's, is ours by applying. Replicas are the exception unless
// they are about to be applied: the next apply, which leaves them out, would
// remove them, and a field that nobody owns goes back to 1. So they stay with the
// creation until a scale takes them over. changed is false if there is nothing to do.
func handOver(entries []metav1.ManagedFieldsEntry, apiVersion string, applyReplicas bool) (out []metav1.ManagedFieldsEntry, changed bool, err error) {
	ours := fieldpath.NewSet()
	var applied *metav1.ManagedFieldsEntry
	for _, entry := range entries {
		mine := entry.Manager == deployer.FieldManager || isFormer(entry)
		if entry.Subresource != "" || entry.APIVersion != apiVersion || !mine {
			out = append(out, entry)
			continue
		}
		set, err := fieldsOf(entry)
		if err != nil {
			return nil, false, err
		}
		ours = ours.Union(set)
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			applied = entry.DeepCopy()
		} else if !set.Difference(fieldpath.NewSet(replicasPath)).Empty() {
			changed = true
		}
	}
	keep := fieldpath.NewSet()
	if !applyReplicas && ours.Has(replicasPath) {
		keep.Insert(replicasPath)
		ours = ours.Difference(keep)
		if applied != nil {
			if set, err := fieldsOf(*applied); err == nil && set.Has(replicasPath) {
				changed = true
			}
		}
	}
	if !changed {
		return entries, false, nil
	}
	for _, part := range []struct {
		operation metav1.ManagedFieldsOperationType
		set       *fieldpath.Set
	}{{metav1.ManagedFieldsOperationApply, ours}, {metav1.ManagedFieldsOperationUpdate, keep}} {
		if part.set.Empty() {
			continue
		}
		raw, err := part.set.ToJSON()
		if err != nil {
			return nil, false, fmt.Errorf("encoding managed fields: %w", err)
		}
		out = append(out, metav1.ManagedFieldsEntry{
			Manager: deployer.FieldManager, Operation: part.operation, APIVersion: apiVersion,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(raw)),
		})
	}
	return out, true, nil
}

// fieldsOf decodes the set of an entry.
func fieldsOf(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := fieldpath.NewSet()
	if entry.FieldsV1 == nil {
		return set, nil
	}
	if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("decoding the managed fields of %s: %w", entry.Manager, err)
	}
	return set, nil
}
