// Package revision numbers the states that a component's pods have had.
//
// Every state that the pods of a component are given is recorded in a
// ControllerRevision: its name and number, what it was made from, and the runtime
// that was chosen for it. Only the reason for that choice is ever amended. The
// package plans and reads them; writing them, and saying which ones are in use, is
// left to callers.
package revision

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/deployer"
)

const (
	// AnnotationHash on a ControllerRevision tells apart what revisions were made from.
	AnnotationHash = "rawserve.dev/revision-hash"
	// AnnotationRuntime on a ControllerRevision is the choice of runtime, as JSON.
	// It repeats what the data says, so that a cache can leave the data out, and is
	// amended where the data cannot be.
	AnnotationRuntime = "rawserve.dev/runtime"
	// HistoryLimit is how many revisions are kept beside those in use.
	HistoryLimit = 10
)

// Record is what is known of a revision without its data.
type Record struct {
	// Name of the ControllerRevision, for example iris-predictor-00001.
	Name string
	// UID of the ControllerRevision.
	UID types.UID
	// Number counts from 1.
	Number int64
	// Hash tells apart what revisions were made from.
	Hash string
	// Runtime is the choice of runtime. Nil for custom containers.
	Runtime *deployer.RuntimeRef
}

// Name is the name of a component's revision: iris-predictor-00001.
func Name(component string, number int64) string {
	return fmt.Sprintf("%s-%05d", component, number)
}

// Read returns what a ControllerRevision records. number is its .revision.
func Read(object metav1.Object, number int64) (Record, error) {
	r := Record{
		Name:   object.GetName(),
		UID:    object.GetUID(),
		Number: number,
		Hash:   object.GetAnnotations()[AnnotationHash],
	}
	if number < 1 {
		return Record{}, fmt.Errorf("reading revision %s: its number is %d; delete it, numbers start at 1", r.Name, number)
	}
	if text := object.GetAnnotations()[AnnotationRuntime]; text != "" {
		r.Runtime = &deployer.RuntimeRef{}
		if err := json.Unmarshal([]byte(text), r.Runtime); err != nil {
			return Record{}, fmt.Errorf("reading revision %s: annotation %s: %w", r.Name, AnnotationRuntime, err)
		}
	}
	return r, nil
}

// Latest returns the revision with the highest number, or nil.
func Latest(history []Record) *Record {
	if len(history) == 0 {
		return nil
	}
	latest := slices.MaxFunc(history, func(a, b Record) int { return cmp.Compare(a.Number, b.Number) })
	return &latest
}

// Next returns the revision for pods made from what the hash stands for, and
// whether it has to be recorded first. Only the latest revision is used again:
// one that goes back to an earlier state gets a number of its own, as in Knative,
// so that a higher number is always the later wish.
func Next(component string, history []Record, hash string) (rev deployer.Revision, fresh bool) {
	latest := Latest(history)
	if latest != nil && latest.Hash == hash {
		return deployer.Revision{Name: latest.Name, Number: latest.Number}, false
	}
	number := int64(1)
	if latest != nil {
		number = latest.Number + 1
	}
	return deployer.Revision{Name: Name(component, number), Number: number}, true
}

// Expendable returns the revisions that may be deleted, oldest first: all but
// the latest, those in use, and the HistoryLimit newest of the others.
func Expendable(history []Record, inUse ...string) []Record {
	latest := Latest(history)
	var others []Record
	for _, r := range history {
		if r.Name != latest.Name && !slices.Contains(inUse, r.Name) {
			others = append(others, r)
		}
	}
	if len(others) <= HistoryLimit {
		return nil
	}
	slices.SortFunc(others, func(a, b Record) int { return cmp.Compare(a.Number, b.Number) })
	return others[:len(others)-HistoryLimit]
}

// ErrOther is returned by Same for a ControllerRevision that records something else.
var ErrOther = errors.New("the name is taken by another revision")

// Same checks that a ControllerRevision found under a wanted name is the wanted
// one: made by another pass that the caller's view has not caught up with.
func Same(found *appsv1.ControllerRevision, hash string) error {
	if got := found.Annotations[AnnotationHash]; got != hash {
		return fmt.Errorf("revision %s has hash %q, want %q: %w", found.Name, got, hash, ErrOther)
	}
	return nil
}
