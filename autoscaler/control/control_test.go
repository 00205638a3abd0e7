package control

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rawserve/rawserve/api/rawserve/v1alpha1"
	"github.com/rawserve/rawserve/autoscaler"
	"github.com/rawserve/rawserve/autoscaler/collect"
)

func TestMoreDemandIsWrittenWithinATickAndExplained(t *testing.T) {
	w := newWorld(t)
	w.deployment(1)
	w.ready(1)
	w.create(1, func(s *v1alpha1.Scaler) { s.Spec.RouteName, s.Spec.MaxReplicas = "", 7 })
	w.metrics.set(collect.Concurrency, 5)
	w.run()
	w.until("a first status", 1, func() bool { return w.scaler().Status.Reason == "Steady" })

	w.metrics.set(collect.Concurrency, 500)
	w.second()
	require.EqualValues(t, 7, w.replicas())
	w.until("a status", 0, func() bool { return w.scaler().Status.Reason == "MaxReplicas" })
	status := w.scaler().Status
	require.EqualValues(t, 7, *status.DesiredReplicas)
	require.EqualValues(t, 1, status.ReadyReplicas)
	require.Equal(t, v1alpha1.PathMode(""), status.Path)
	require.Equal(t, "50 replicas wanted, and maxReplicas is 7; raise it to serve more at a time.", rule(status, "max").Message)
	require.Equal(t, []string{"demand", "burst", "max"}, rules(status))
	require.Equal(t, "concurrency", status.Signals[0].Name)
	require.Equal(t, v1alpha1.SignalFresh, status.Signals[0].State)
	require.Equal(t, "252500m", status.Signals[0].Stable.String())
	require.Equal(t, "10", status.Signals[0].Target.String())
	require.True(t, w.clock.Now().Equal(status.LastScaleTime.Time))
	for _, condition := range []string{ConditionActive, ConditionAbleToScale, ConditionSignalsFresh} {
		require.True(t, meta.IsStatusConditionTrue(status.Conditions, condition), condition)
	}
	require.EqualValues(t, 7, w.gauge("rawserve_scaler_desired_replicas"))
	require.EqualValues(t, 1, w.gauge("rawserve_scaler_ready_replicas"))
	require.Equal(t, []string{"Normal MaxReplicas Scaled from 1 to 7: 50 replicas wanted, and maxReplicas is 7; raise it to serve more at a time."}, w.told())
}

func rules(s v1alpha1.ScalerStatus) (names []string) {
	for _, b := range s.Because {
		names = append(names, b.Rule)
	}
	return names
}

func rule(s v1alpha1.ScalerStatus, name string) v1alpha1.RuleTrace {
	for _, b := range s.Because {
		if b.Rule == name {
			return b
		}
	}
	return v1alpha1.RuleTrace{}
}

func TestTheLastReplicaGoesAfterThePathAndComesBackBeforeIt(t *testing.T) {
	w := newWorld(t)
	w.deployment(1)
	w.ready(1)
	w.native(1)
	w.route()
	w.activator("activator-1", "10.2.0.1")
	w.create(0, nil)
	w.run()

	w.until("activators are asked for", 10, func() bool { return w.inferenceRoute().Spec.Path == v1alpha1.PathActivator })
	for range 5 {
		w.second()
	}
	require.EqualValues(t, 1, w.replicas(), "no activator listens yet")
	require.Nil(t, w.slice())
	require.Equal(t, string(autoscaler.ReasonSwitchingPath), w.scaler().Status.Reason)
	require.False(t, w.inferenceRoute().Status.Path.Confirmed)
	require.Contains(t, w.inferenceRoute().Status.Path.Message, "not yet activator-1")

	w.ack("activator-1")
	w.until("the slice", 2, func() bool { return w.slice() != nil })
	slice := w.slice()
	require.Equal(t, discoveryv1.AddressTypeIPv4, slice.AddressType)
	require.Equal(t, map[string]string{discoveryv1.LabelServiceName: "iris-predictor", discoveryv1.LabelManagedBy: "rawserve.dev"}, slice.Labels)
	require.Equal(t, "Service", slice.OwnerReferences[0].Kind)
	require.Equal(t, "iris-predictor", slice.OwnerReferences[0].Name)
	require.Len(t, slice.Endpoints, 1)
	require.Equal(t, []string{"10.2.0.1"}, slice.Endpoints[0].Addresses)
	require.True(t, *slice.Endpoints[0].Conditions.Ready)
	require.Equal(t, "node-1", *slice.Endpoints[0].NodeName)
	require.EqualValues(t, 10007, *slice.Ports[0].Port)
	require.Equal(t, "http", *slice.Ports[0].Name)
	require.EqualValues(t, 1, w.replicas(), "the nodes have not had their time")

	w.until("zero", 4, func() bool { return w.replicas() == 0 })
	require.True(t, w.inferenceRoute().Status.Path.Confirmed)
	w.ready(0)
	w.native(0)
	w.until("at rest", 2, func() bool { return w.scaler().Status.Reason == string(autoscaler.ReasonAtZero) })
	require.EqualValues(t, 0, *w.scaler().Status.DesiredReplicas)
	w.told()

	// A request arrives and its activator starts a replica.
	w.metrics.set(collect.Waiting, 1)
	w.scaleTo(1)
	w.until("the start is seen", 3, func() bool { return w.scaler().Status.Reason == string(autoscaler.ReasonStarting) })
	require.Empty(t, w.told(), "the activator's write is no other writer's")
	require.NotEmpty(t, w.scaler().Status.State, "a new leader knows since when it starts")
	w.ready(1)
	w.metrics.set(collect.Waiting, 0)
	w.metrics.set(collect.Concurrency, 1)
	w.until("direct is asked for", 3, func() bool { return w.inferenceRoute().Spec.Path == v1alpha1.PathDirect })
	for range 3 {
		w.second()
	}
	require.NotNil(t, w.slice(), "the Service has no endpoint of its own yet")
	w.native(1)
	w.until("the slice is gone", 4, func() bool { return w.slice() == nil })
	w.until("direct is confirmed", 2, func() bool {
		p := w.inferenceRoute().Status.Path
		return p.Mode == v1alpha1.PathDirect && p.Confirmed
	})
	require.EqualValues(t, 1, w.replicas())
}

func TestTheSliceFollowsTheActivators(t *testing.T) {
	w := newWorld(t)
	w.deployment(0)
	w.route()
	w.activator("activator-1", "10.2.0.1")
	w.create(0, func(s *v1alpha1.Scaler) { zero := int32(0); s.Spec.InitialReplicas = &zero })
	w.run()
	addresses := func() (all []string) {
		if s := w.slice(); s != nil {
			for _, e := range s.Endpoints {
				all = append(all, e.Addresses...)
			}
		}
		return all
	}
	w.until("activators are asked for", 3, func() bool { return w.inferenceRoute().Spec.Path == v1alpha1.PathActivator })
	w.ack("activator-1")
	w.until("confirmed", 4, func() bool { return w.inferenceRoute().Status.Path.Confirmed })
	require.Equal(t, []string{"10.2.0.1"}, addresses())

	w.activator("activator-2", "10.2.0.2")
	w.second()
	require.Equal(t, []string{"10.2.0.1"}, addresses(), "it does not listen yet")
	require.True(t, w.inferenceRoute().Status.Path.Confirmed)
	w.ack("activator-2")
	w.until("the second one", 2, func() bool { return len(addresses()) == 2 })
	require.Equal(t, []string{"10.2.0.1", "10.2.0.2"}, addresses())

	require.NoError(t, w.kube.CoreV1().Pods(w.system).Delete(w.ctx, "activator-1", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	w.until("the first one is gone", 2, func() bool { return len(addresses()) == 1 })
	require.Equal(t, []string{"10.2.0.2"}, addresses())
	w.until("and its word", 2, func() bool { return len(w.inferenceRoute().Status.Activators) == 1 })
	require.Equal(t, "activator-2", w.inferenceRoute().Status.Activators[0].Name)
	require.True(t, w.inferenceRoute().Status.Path.Confirmed)

	require.NoError(t, w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).Delete(w.ctx, "iris-predictor", metav1.DeleteOptions{}))
	w.until("the slice of a route that is gone", 2, func() bool { return w.slice() == nil })
}

func TestAlwaysThroughTheActivatorsNarrowsTheSelector(t *testing.T) {
	w := newWorld(t)
	w.deployment(1)
	w.ready(1)
	w.native(1)
	w.route()
	w.activator("activator-1", "10.2.0.1")
	always := int64(-1)
	w.create(1, func(s *v1alpha1.Scaler) { s.Spec.TargetBurstCapacity = &always })
	w.run()
	w.until("activators only", 3, func() bool { return w.inferenceRoute().Spec.Path == v1alpha1.PathActivatorOnly })
	require.False(t, w.inferenceRoute().Status.Path.NarrowSelector)
	w.ack("activator-1")
	w.until("narrowed", 4, func() bool { return w.inferenceRoute().Status.Path.NarrowSelector })
	require.True(t, w.inferenceRoute().Status.Path.Confirmed)
	require.NotNil(t, w.slice())
}

// noScaler runs a controller beside a route that no Scaler names.
func (w *world) noScaler() {
	w.activator("activator-1", "10.2.0.1")
	w.start()
	w.turn("routes")
}

// path waits until the route is to take the path and does, acknowledging as an
// activator would.
func (w *world) path(mode v1alpha1.PathMode) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		r := w.inferenceRoute()
		if r.Spec.Path != mode {
			return false
		}
		if len(r.Status.Activators) == 0 || r.Status.Activators[0].Generation != r.Generation {
			w.ack("activator-1")
		}
		w.clock.Step(time.Second)
		return r.Status.ObservedGeneration == r.Generation && r.Status.Path.Mode == mode && r.Status.Path.Confirmed
	}, patience, 50*time.Millisecond, "%s, but it is %v", mode, w.inferenceRoute())
}

func TestARouteWithoutAScalerIsHeldWhileNothingIsReady(t *testing.T) {
	w := newWorld(t)
	w.deployment(0)
	w.route()
	w.noScaler()
	w.path(v1alpha1.PathActivator)
	require.NotNil(t, w.slice())
	require.Zero(t, w.replicas(), "raising it is the activator's business, or its owner's")

	w.native(1)
	w.path(v1alpha1.PathDirect)
	require.Nil(t, w.slice())
	w.native(0) // the owner takes the last one away, or it crashes
	w.path(v1alpha1.PathActivator)
	require.NotNil(t, w.slice())
}

func TestARouteThatIsStoppedIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.route()
	require.NoError(t, w.kube.CoreV1().Services(w.ns).Delete(w.ctx, "iris-predictor", metav1.DeleteOptions{}))
	w.noScaler()
	require.Eventually(t, func() bool { return w.inferenceRoute().Status.Path.Reason == v1alpha1.PathNoEndpoint }, patience, 50*time.Millisecond)
	require.Empty(t, w.inferenceRoute().Spec.Path)
	require.Nil(t, w.slice())
}

func TestARouteOutlivesItsScaler(t *testing.T) {
	for name, c := range map[string]struct {
		native int
		change func(*world)
		want   v1alpha1.PathMode
	}{
		"deleted while nothing is ready": {0, (*world).removeScaler, v1alpha1.PathActivator},
		"deleted":                        {1, (*world).removeScaler, v1alpha1.PathDirect},
		"led to another route":           {1, func(w *world) { w.patchScaler(`{"spec":{"routeName":"other"}}`) }, v1alpha1.PathDirect},
		"refused":                        {1, func(w *world) { w.patchScaler(`{"spec":{"stableWindow":"6s1us"}}`) }, v1alpha1.PathDirect},
		"led to another Deployment":      {1, func(w *world) { w.patchScaler(`{"spec":{"scaleTargetRef":{"name":"other"}}}`) }, v1alpha1.PathDirect},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deployment(1)
			w.ready(1)
			w.route()
			w.native(c.native)
			w.activator("activator-1", "10.2.0.1")
			always := int64(-1)
			w.create(1, func(s *v1alpha1.Scaler) { s.Spec.TargetBurstCapacity = &always })
			stop := w.run()
			w.until("activators are asked for", 3, func() bool { return w.inferenceRoute().Spec.Path == v1alpha1.PathActivatorOnly })
			c.change(w)
			w.path(c.want)

			// Also where it happened while nobody led: nothing of it is remembered.
			stop()
			w.patchRoute(`{"spec":{"path":"ActivatorOnly"}}`)
			w.start()
			w.path(c.want)
		})
	}
}

func (w *world) removeScaler() {
	require.NoError(w.t, w.rawserve.RawserveV1alpha1().Scalers(w.ns).Delete(w.ctx, "iris-predictor", metav1.DeleteOptions{}))
}

func (w *world) patchScaler(patch string) {
	_, err := w.rawserve.RawserveV1alpha1().Scalers(w.ns).Patch(w.ctx, "iris-predictor", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(w.t, err)
}

func (w *world) patchRoute(patch string) {
	_, err := w.rawserve.RawserveV1alpha1().InferenceRoutes(w.ns).Patch(w.ctx, "iris-predictor", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(w.t, err)
}

func TestNothingIsWrittenWhileNothingChanges(t *testing.T) {
	w := newWorld(t)
	w.deployment(1)
	w.ready(1)
	w.native(1)
	w.route()
	w.create(1, nil)
	w.metrics.set(collect.Concurrency, 5)
	w.run()
	w.until("steady and direct", 10, func() bool {
		return w.scaler().Status.Reason == "Steady" && w.inferenceRoute().Status.Path.Confirmed
	})
	for range 12 { // past the time after which changed values are written
		w.second()
	}
	scaler, route := w.scaler().ResourceVersion, w.inferenceRoute().ResourceVersion
	for range 25 {
		w.second()
	}
	require.Equal(t, scaler, w.scaler().ResourceVersion)
	require.Equal(t, route, w.inferenceRoute().ResourceVersion)

	// Changed values alone are written now and then, not every second.
	versions := map[string]bool{}
	for n := range 30 {
		w.metrics.set(collect.Concurrency, 5+float64(n)/100)
		w.second()
		versions[w.scaler().ResourceVersion] = true
	}
	require.LessOrEqual(t, len(versions), 5)
	require.GreaterOrEqual(t, len(versions), 3)
}

func TestMissingDataKeepsTheReplicasAndSaysSo(t *testing.T) {
	w := newWorld(t)
	w.deployment(3)
	w.ready(3)
	w.create(1, func(s *v1alpha1.Scaler) { s.Spec.RouteName = "" })
	w.metrics.set(collect.Concurrency, 30)
	w.run()
	for range 8 {
		w.second()
	}
	w.metrics.fail("the metrics adapter does not answer")
	w.until("told", 2, func() bool { return w.scaler().Status.Reason == string(autoscaler.ReasonNoData) })
	for range 20 {
		w.second()
	}
	require.EqualValues(t, 3, w.replicas())
	c := meta.FindStatusCondition(w.scaler().Status.Conditions, ConditionSignalsFresh)
	require.Equal(t, metav1.ConditionFalse, c.Status)
	require.Equal(t, "Absent", c.Reason)
	require.Contains(t, c.Message, "concurrency: the metrics adapter does not answer")
}

func TestAMissingTargetIsACondition(t *testing.T) {
	w := newWorld(t)
	w.create(1, func(s *v1alpha1.Scaler) { s.Spec.RouteName = "" })
	w.run()
	able := func() *metav1.Condition {
		return meta.FindStatusCondition(w.scaler().Status.Conditions, ConditionAbleToScale)
	}
	w.until("told", 2, func() bool { return able() != nil })
	require.Equal(t, metav1.ConditionFalse, able().Status)
	require.Equal(t, "TargetNotFound", able().Reason)
	require.Equal(t, "Deployment "+w.ns+"/iris-predictor does not exist; create it or correct spec.scaleTargetRef.", able().Message)
	require.Equal(t, string(autoscaler.ReasonTargetUnknown), w.scaler().Status.Reason)
	for range 3 {
		w.second()
	}
	require.Len(t, w.told(), 1, "one event, not one each second")

	w.deployment(1)
	w.until("found", 3, func() bool { return able().Status == metav1.ConditionTrue })
}

func TestAPolicyThatMakesNoSenseIsRefusedInWords(t *testing.T) {
	w := newWorld(t)
	w.deployment(4)
	w.create(1, func(s *v1alpha1.Scaler) {
		// The schema does not look at parts of a millisecond.
		s.Spec.RouteName, s.Spec.StableWindow = "", &metav1.Duration{Duration: 6*time.Second + time.Microsecond}
	})
	w.run()
	w.until("told", 2, func() bool { return w.scaler().Status.Reason == "InvalidPolicy" })
	require.Contains(t, w.scaler().Status.Message, `spec.stableWindow: Invalid value: "6.000001s": must be whole seconds`)
	require.True(t, meta.IsStatusConditionFalse(w.scaler().Status.Conditions, ConditionAbleToScale))
	require.EqualValues(t, 4, w.replicas())

	patch := []byte(`{"spec":{"stableWindow":"6s","minReplicas":5}}`)
	_, err := w.rawserve.RawserveV1alpha1().Scalers(w.ns).Patch(w.ctx, "iris-predictor", types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	w.until("corrected", 2, func() bool { return w.replicas() == 5 })
	w.until("told", 2, func() bool { return meta.IsStatusConditionTrue(w.scaler().Status.Conditions, ConditionAbleToScale) })
}

func TestAnotherWriterOfTheScaleIsAnsweredAtTheNextTickAndReportedOnce(t *testing.T) {
	w := newWorld(t)
	w.deployment(2)
	w.ready(2)
	w.create(2, func(s *v1alpha1.Scaler) { s.Spec.RouteName = "" })
	w.metrics.set(collect.Concurrency, 35)
	w.run()
	w.until("our own write", 2, func() bool { return w.replicas() == 4 })
	w.ready(4)
	w.second()
	require.Len(t, w.told(), 1, "our own write is nobody else's")

	var events []string
	for n := range 6 {
		w.scaleTo(3)
		require.False(t, w.soon(func() bool { return w.replicas() == 4 }), "round %d: two that answer each other at once would never rest", n)
		w.second()
		w.until("undone", 1, func() bool { return w.replicas() == 4 })
		events = append(events, w.told()...)
	}
	warnings := slices.DeleteFunc(events, func(e string) bool { return !strings.HasPrefix(e, "Warning OtherWriter") })
	require.Len(t, warnings, 1, "told once, not in each round")
	require.Contains(t, warnings[0], "Replicas of Deployment "+w.ns+"/iris-predictor were changed from 4 to 3 by another writer.")
	w.until("told", 2, func() bool {
		return meta.FindStatusCondition(w.scaler().Status.Conditions, ConditionAbleToScale).Reason == "OtherWriter"
	})
	w.clock.Step(otherWriterFor)
	w.second()
	w.scaleTo(3)
	w.until("told again", 2, func() bool {
		return slices.ContainsFunc(w.told(), func(e string) bool { return strings.Contains(e, "OtherWriter") })
	})
}

func TestOfTwoScalersOfOneTargetTheOlderOneDecides(t *testing.T) {
	w := newWorld(t)
	w.deployment(2)
	w.ready(2)
	w.create(4, func(s *v1alpha1.Scaler) { s.Spec.RouteName = "" })
	w.run()
	w.until("its minimum", 2, func() bool { return w.replicas() == 4 })
	second := w.scaler().DeepCopy()
	second.ObjectMeta = metav1.ObjectMeta{Name: "second", Namespace: w.ns}
	one := int32(1)
	second.Spec.MinReplicas, second.Spec.MaxReplicas = &one, 1
	scalers := w.rawserve.RawserveV1alpha1().Scalers(w.ns)
	_, err := scalers.Create(w.ctx, second, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = scalers.Delete(context.Background(), "second", metav1.DeleteOptions{}) })
	other := func() v1alpha1.ScalerStatus {
		s, err := scalers.Get(w.ctx, "second", metav1.GetOptions{})
		require.NoError(t, err)
		return s.Status
	}
	w.until("refused", 2, func() bool { return other().Reason == "TargetTaken" })
	require.Contains(t, other().Message, "Scaler iris-predictor, which is older, scales Deployment "+w.ns+"/iris-predictor")
	able := meta.FindStatusCondition(other().Conditions, ConditionAbleToScale)
	require.Equal(t, metav1.ConditionFalse, able.Status)
	require.Equal(t, "TargetTaken", able.Reason)
	for range 4 {
		w.second()
		require.EqualValues(t, 4, w.replicas())
	}
	require.Len(t, slices.DeleteFunc(w.told(), func(e string) bool { return !strings.Contains(e, "TargetTaken") }), 1)

	require.NoError(t, scalers.Delete(w.ctx, "iris-predictor", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		w.clock.Step(time.Second)
		return w.replicas() == 1
	}, patience, 50*time.Millisecond, "it decides once the other is gone")
}

// warnings are the reasons of the warnings told so far.
func (w *world) warnings() (reasons []string) {
	for _, e := range w.told() {
		if rest, ok := strings.CutPrefix(e, "Warning "); ok {
			reason, _, _ := strings.Cut(rest, " ")
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

func TestWhatNeedsAttentionIsAWarningOnce(t *testing.T) {
	for name, c := range map[string]struct {
		min     int32
		arrange func(*world, *v1alpha1.Scaler)
		happen  func(*world)
		want    string
	}{
		"activators that do not confirm": {0, func(_ *world, s *v1alpha1.Scaler) {
			s.Spec.ScaleToZeroGracePeriod = &metav1.Duration{Duration: 3 * time.Second}
		}, func(w *world) { w.ready(1) }, "PathUnconfirmed"},
		"a start that fails, of a target that stays": {1, func(_ *world, s *v1alpha1.Scaler) {
			s.Spec.ProgressDeadline = &metav1.Duration{Duration: 3 * time.Second}
		}, func(*world) {}, "StartFailed"},
		"a start that fails, to zero": {0, func(_ *world, s *v1alpha1.Scaler) {
			s.Spec.ProgressDeadline = &metav1.Duration{Duration: 3 * time.Second}
		}, func(*world) {}, "StartFailed"},
		"no metrics": {1, func(*world, *v1alpha1.Scaler) {}, func(w *world) {
			w.ready(1)
			w.metrics.fail("the metrics adapter does not answer")
		}, "NoData"},
		"a policy that makes no sense": {1, func(_ *world, s *v1alpha1.Scaler) {
			s.Spec.StableWindow = &metav1.Duration{Duration: 6*time.Second + time.Microsecond}
		}, func(*world) {}, "InvalidPolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deployment(1)
			w.route()
			w.create(c.min, func(s *v1alpha1.Scaler) { c.arrange(w, s) })
			c.happen(w)
			stop := w.run()
			for range 60 {
				w.second()
			}
			require.Equal(t, []string{c.want}, w.warnings())
			stop()
			w.run()
			w.second()
			require.Empty(t, w.warnings(), "a new leader does not repeat it")
		})
	}
}

func TestAMomentWithoutDataIsNoWarning(t *testing.T) {
	w := newWorld(t)
	w.deployment(1)
	w.ready(1)
	w.create(1, func(s *v1alpha1.Scaler) { s.Spec.RouteName = "" })
	w.run()
	for n := range 60 {
		w.metrics.fail([]string{"", "the metrics adapter does not answer"}[n/10%2])
		w.second()
	}
	require.Empty(t, w.warnings())
}

func TestANewLeaderGoesOnWhereTheOldOneStopped(t *testing.T) {
	w := newWorld(t)
	w.deployment(1)
	w.create(0, func(s *v1alpha1.Scaler) { s.Spec.ProgressDeadline = &metav1.Duration{Duration: 30 * time.Second} })
	w.route()
	stop := w.run()
	w.until("starting", 2, func() bool { return w.scaler().Status.Reason == string(autoscaler.ReasonStarting) })
	for range 15 {
		w.second()
	}
	stop()
	w.clock.Step(10 * time.Second)
	w.run()
	seconds := w.until("given up", 10, func() bool { return w.replicas() == 0 })
	require.LessOrEqual(t, seconds, 6, "of the 30 seconds 15 had passed under the first leader and 10 under none")
	w.until("told", 2, func() bool { return w.scaler().Status.Reason == string(autoscaler.ReasonStartFailed) })
}

func TestOnlyTheObservedNumberIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.deployment(2)
	w.route()
	w.create(0, nil)
	c := w.controller()
	d, err := w.kube.AppsV1().Deployments(w.ns).Get(w.ctx, "iris-predictor", metav1.GetOptions{})
	require.NoError(t, err)
	stale := target{deployment: d, route: w.inferenceRoute()}
	seen := autoscaler.Observation{Replicas: 2, Ready: 2}

	w.ready(2) // moves the version, not the number
	written, err := c.updateScale(w.ctx, w.scaler(), stale, seen, 3)
	require.NoError(t, err)
	require.EqualValues(t, 3, written.Spec.Replicas, "only the status had moved on")

	written, err = c.updateScale(w.ctx, w.scaler(), stale, seen, 5)
	require.NoError(t, err)
	require.Nil(t, written, "the number is 3 now, not the 2 that was decided about")
	require.EqualValues(t, 3, w.replicas())

	written, err = c.updateScale(w.ctx, w.scaler(), stale, seen, 0)
	require.NoError(t, err)
	require.Nil(t, written, "nor is zero written over it")

	seen.Replicas = 3
	written, err = c.updateScale(w.ctx, w.scaler(), stale, seen, 0)
	require.NoError(t, err)
	require.Nil(t, written, "the path is not confirmed on the server, whatever the cache said")
	require.EqualValues(t, 3, w.replicas())
}
