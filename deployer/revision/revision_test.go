package revision_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/deployer"
	"github.com/rawserve/rawserve/deployer/revision"
)

func history(hashes ...string) []revision.Record {
	var out []revision.Record
	for i, hash := range hashes {
		n := int64(i + 1)
		out = append(out, revision.Record{Name: revision.Name("iris-predictor", n), Number: n, Hash: hash})
	}
	return out
}

func names(records []revision.Record) (out []string) {
	for _, r := range records {
		out = append(out, r.Name)
	}
	return out
}

func TestNumbersCountDistinctStates(t *testing.T) {
	for _, c := range []struct {
		situation string
		history   []revision.Record
		hash      string
		want      deployer.Revision
		fresh     bool
	}{
		{"the first", nil, "a", deployer.Revision{Name: "iris-predictor-00001", Number: 1}, true},
		{"no change", history("a"), "a", deployer.Revision{Name: "iris-predictor-00001", Number: 1}, false},
		{"a change", history("a"), "b", deployer.Revision{Name: "iris-predictor-00002", Number: 2}, true},
		{"back to an earlier state", history("a", "b"), "a", deployer.Revision{Name: "iris-predictor-00003", Number: 3}, true},
		{"history in any order, with a gap", []revision.Record{{Name: "iris-predictor-00007", Number: 7, Hash: "g"}, {Name: "iris-predictor-00002", Number: 2, Hash: "b"}}, "h",
			deployer.Revision{Name: "iris-predictor-00008", Number: 8}, true},
		{"more than five digits", []revision.Record{{Name: "iris-predictor-99999", Number: 99999, Hash: "x"}}, "y",
			deployer.Revision{Name: "iris-predictor-100000", Number: 100000}, true},
	} {
		t.Run(c.situation, func(t *testing.T) {
			got, fresh := revision.Next("iris-predictor", c.history, c.hash)
			require.Equal(t, c.want, got)
			require.Equal(t, c.fresh, fresh)
		})
	}
}

func TestHistoryKeepsTenBesideThoseInUse(t *testing.T) {
	var hashes []string
	for i := range 13 {
		hashes = append(hashes, fmt.Sprint(i))
	}
	require.Empty(t, revision.Expendable(nil))
	require.Empty(t, revision.Expendable(history(hashes[:11]...)), "the latest and ten more")
	require.Equal(t, []string{"iris-predictor-00001", "iris-predictor-00002"}, names(revision.Expendable(history(hashes...))))
	require.Equal(t, []string{"iris-predictor-00002"},
		names(revision.Expendable(history(hashes...), "iris-predictor-00001")), "one in use is kept and not counted")
}

func TestARecordSurvivesTheCluster(t *testing.T) {
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "ml", UID: "u1"}}
	ref := deployer.RuntimeRef{Name: "kserve-sklearnserver", Scope: deployer.Cluster}
	data := revision.Data{
		Predictor: v1beta1.PredictorSpec{Model: &v1beta1.ModelSpec{ModelFormat: v1beta1.ModelFormat{Name: "sklearn"}}},
		Runtime:   &deployer.ChosenRuntime{Ref: ref, Labels: map[string]string{"tier": "gold"}},
	}
	object, err := revision.Object(isvc, deployer.Revision{Name: "iris-predictor-00004", Number: 4}, "h4", data)
	require.NoError(t, err)
	require.Equal(t, "iris", object.OwnerReferences[0].Name)
	require.True(t, *object.OwnerReferences[0].Controller)

	got, err := revision.Read(object, object.Revision)
	require.NoError(t, err)
	require.Equal(t, revision.Record{Name: "iris-predictor-00004", Number: 4, Hash: "h4", Runtime: &ref}, got)
	back, err := revision.ReadData(object)
	require.NoError(t, err)
	require.Equal(t, data, back)

	require.NoError(t, revision.Same(object, "h4"))
	require.ErrorIs(t, revision.Same(object, "h5"), revision.ErrOther)
}

func TestAnAmendedRecordHasTheNewChoiceOnly(t *testing.T) {
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: "ml"}}
	old := deployer.RuntimeRef{Name: "own", Scope: deployer.Cluster, Format: "sklearn", Named: true}
	object, err := revision.Object(isvc, deployer.Revision{Name: "iris-predictor-00004", Number: 4}, "h4", revision.Data{Runtime: &deployer.ChosenRuntime{Ref: old}})
	require.NoError(t, err)
	object.UID = "u4"
	record, err := revision.Read(object, 4)
	require.NoError(t, err)

	ref := deployer.RuntimeRef{Name: "own", Scope: deployer.Cluster, Format: "sklearn"}
	patch, err := revision.Amendment(record, ref)
	require.NoError(t, err)
	// What is not named in the text stays, as in a merge patch.
	amended := object.DeepCopy()
	require.NoError(t, json.Unmarshal(patch, amended))
	want := record
	want.Runtime = &ref
	got, err := revision.Read(amended, amended.Revision)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, object.Data, amended.Data)
}

func TestBrokenRecordsAreNamed(t *testing.T) {
	broken := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "iris-predictor-00001", Annotations: map[string]string{revision.AnnotationRuntime: "{"}}}
	_, err := revision.Read(broken, 1)
	require.ErrorContains(t, err, "iris-predictor-00001")
	_, err = revision.Read(&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, 0)
	require.ErrorContains(t, err, "numbers start at 1")
	broken.Data.Raw = []byte("[]")
	_, err = revision.ReadData(broken)
	require.ErrorContains(t, err, "iris-predictor-00001")
}

func TestOnlyWhatHasBeenReadyIsFrozen(t *testing.T) {
	isvc := func(annotation, ready string) *v1beta1.InferenceService {
		return &v1beta1.InferenceService{
			ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1beta1.AnnotationDisableAutoUpdate: annotation}},
			Status: v1beta1.InferenceServiceStatus{Components: map[v1beta1.Component]v1beta1.ComponentStatus{
				v1beta1.ComponentPredictor: {LatestReadyRevision: ready},
			}},
		}
	}
	latest := &revision.Record{Name: "iris-predictor-00002"}
	require.True(t, revision.Frozen(isvc("true", "iris-predictor-00002"), latest))
	require.False(t, revision.Frozen(isvc("true", "iris-predictor-00001"), latest), "the latest has never been ready")
	require.False(t, revision.Frozen(isvc("false", "iris-predictor-00002"), latest))
	require.False(t, revision.Frozen(isvc("true", ""), nil), "nothing is recorded yet")
}
