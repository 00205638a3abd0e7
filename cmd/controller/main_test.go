package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/rawserve/rawserve/api/client/clientset/versioned"
	"github.com/rawserve/rawserve/api/serving/v1beta1"
	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

// install applies manifests of the controller.
func install(t *testing.T, config *rest.Config, files ...string) {
	t.Helper()
	// A warning is how the API server says that pods would break the namespace's
	// security standard, or that a version is on its way out.
	strict := rest.CopyConfig(config)
	strict.WarningHandler = warnings{t}
	client, err := dynamic.NewForConfig(strict)
	require.NoError(t, err)
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kube.Discovery()))
	for _, file := range files {
		text, err := os.ReadFile("../../manifests/" + file)
		require.NoError(t, err)
		documents := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var object unstructured.Unstructured
			err := documents.Decode(&object)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, file)
			mapping, err := mapper.RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
			require.NoError(t, err, file)
			resource := client.Resource(mapping.Resource)
			var into dynamic.ResourceInterface = resource
			if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
				into = resource.Namespace(object.GetNamespace())
			}
			_, err = into.Apply(t.Context(), object.GetName(), &object, metav1.ApplyOptions{FieldManager: "test", Force: true})
			require.NoError(t, err, "%s: %s", file, object.GetName())
		}
	}
}

type warnings struct{ t *testing.T }

func (w warnings) HandleWarningHeader(_ int, _, text string) {
	w.t.Errorf("the API server warns: %s", text)
}

// asController is the identity of the controller's pods, with the rights of the manifests.
func asController(config *rest.Config) *rest.Config {
	limited := rest.CopyConfig(config)
	limited.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:rawserve-system:controller",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:rawserve-system", "system:authenticated"},
	}
	return limited
}

// shortConfig is the default one with a faster election.
func shortConfig(t *testing.T) Config {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	cfg := DefaultConfig()
	cfg.AdminAddress = ln.Addr().String()
	cfg.LeaderElection.RetryPeriod.Duration = 200 * time.Millisecond
	require.NoError(t, cfg.Validate())
	return cfg
}

// replica is one running controller.
type replica struct {
	cfg  Config
	log  *logged
	stop func() error
}

func start(t *testing.T, config *rest.Config, name string) *replica {
	t.Helper()
	t.Setenv("POD_NAME", name)
	t.Setenv("POD_NAMESPACE", "rawserve-system")
	r := &replica{cfg: shortConfig(t), log: &logged{lines: make(chan string, 10000)}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		close(ready)
		done <- serve(ctx, slog.New(slog.NewTextHandler(r.log, nil)), config, r.cfg, prometheus.NewRegistry())
	}()
	<-ready
	var result error
	stopped := false
	r.stop = func() error {
		if !stopped {
			cancel()
			result, stopped = <-done, true
		}
		return result
	}
	t.Cleanup(func() { _ = r.stop() })
	require.Eventually(t, func() bool { return r.get("/healthz") == http.StatusOK }, 30*time.Second, 20*time.Millisecond)
	return r
}

func (r *replica) get(path string) int {
	response, err := http.Get("http://" + r.cfg.AdminAddress + path)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// says waits for a line of the log with the text.
func (r *replica) says(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		select {
		case line := <-r.log.lines:
			if bytes.Contains([]byte(line), []byte(text)) {
				return
			}
		case <-deadline:
			require.Fail(t, "the log does not say "+text)
		}
	}
}

// logged is a log of lines.
type logged struct{ lines chan string }

func (l *logged) Write(p []byte) (int, error) {
	select {
	case l.lines <- string(p):
	default:
	}
	return len(p), nil
}

func TestOneReplicaWorksAndTheNextTakesOverAtOnce(t *testing.T) {
	config := apiservertest.Start(t)
	install(t, config, "namespace/namespace.yaml", "controller/serviceaccount.yaml", "controller/rbac.yaml",
		"controller/config.yaml", "controller/deployment.yaml", "controller/pdb.yaml")
	first := start(t, asController(config), "controller-a")
	first.says(t, "deployer starts")
	second := start(t, asController(config), "controller-b")
	second.says(t, "another controller leads")
	require.Equal(t, http.StatusOK, second.get("/readyz"), "one that waits is ready too")
	require.Equal(t, http.StatusOK, second.get("/metrics"))

	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	begin := time.Now()
	require.NoError(t, first.stop())
	second.says(t, "msg=leading")
	require.Less(t, time.Since(begin), second.cfg.LeaderElection.LeaseDuration.Duration, "the lease was given back, not waited out")
	lease, err := kube.CoordinationV1().Leases("rawserve-system").Get(t.Context(), "controller", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "controller-b", *lease.Spec.HolderIdentity)
	require.NoError(t, second.stop())
}

func TestALeaderThatLosesItsLeaseEnds(t *testing.T) {
	config := apiservertest.Start(t)
	install(t, config, "namespace/namespace.yaml")
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	cfg := shortConfig(t).LeaderElection
	cfg.LeaseName = "contested"
	cfg.LeaseDuration.Duration, cfg.RenewDeadline.Duration, cfg.RetryPeriod.Duration = 3*time.Second, 2*time.Second, 100*time.Millisecond
	e := election{client: kube.CoordinationV1(), namespace: "rawserve-system", identity: "me", config: cfg, log: slog.New(slog.DiscardHandler)}

	leading, ended := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- e.lead(context.Background(), func(ctx context.Context) error {
			close(leading)
			<-ctx.Done()
			close(ended)
			return nil
		})
	}()
	<-leading
	require.Eventually(t, func() bool {
		lease, err := kube.CoordinationV1().Leases("rawserve-system").Get(t.Context(), "contested", metav1.GetOptions{})
		require.NoError(t, err)
		other, long := "somebody else", int32(3600)
		now := metav1.NowMicro()
		lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &other, &long, &now
		_, err = kube.CoordinationV1().Leases("rawserve-system").Update(t.Context(), lease, metav1.UpdateOptions{})
		return err == nil
	}, 10*time.Second, time.Millisecond)
	require.ErrorIs(t, <-done, errLeaseLost)
	<-ended
}

// TestTheLeaseIsNotGivenBackWhileTheWorkGoesOn has renewals fail: the lease still runs
// for a while then, and nobody else may lead as long as the work has not stopped.
func TestTheLeaseIsNotGivenBackWhileTheWorkGoesOn(t *testing.T) {
	config := apiservertest.Start(t)
	install(t, config, "namespace/namespace.yaml")
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	var failing atomic.Bool
	flaky := rest.CopyConfig(config)
	flaky.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if failing.Load() {
				return nil, errors.New("no connection")
			}
			return next.RoundTrip(r)
		})
	})
	mine, err := kubernetes.NewForConfig(flaky)
	require.NoError(t, err)
	cfg := shortConfig(t).LeaderElection
	cfg.LeaseName = "slow"
	cfg.LeaseDuration.Duration, cfg.RenewDeadline.Duration, cfg.RetryPeriod.Duration = 60*time.Second, 2*time.Second, 100*time.Millisecond
	e := election{client: mine.CoordinationV1(), namespace: "rawserve-system", identity: "me", config: cfg, log: slog.New(slog.DiscardHandler)}
	holder := func() string {
		lease, err := kube.CoordinationV1().Leases("rawserve-system").Get(t.Context(), "slow", metav1.GetOptions{})
		require.NoError(t, err)
		return *lease.Spec.HolderIdentity
	}
	leading, told, finish := make(chan struct{}), make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- e.lead(context.Background(), func(ctx context.Context) error {
			close(leading)
			<-ctx.Done()
			failing.Store(false)
			close(told)
			<-finish
			return nil
		})
	}()
	<-leading
	failing.Store(true)
	<-told
	require.Never(t, func() bool { return holder() != "me" }, time.Second, 50*time.Millisecond)
	close(finish)
	require.ErrorIs(t, <-done, errLeaseLost)
	require.Empty(t, holder(), "given back once the work has ended")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAReplicaThatNeverLedStopsAtOnce(t *testing.T) {
	config := apiservertest.Start(t)
	install(t, config, "namespace/namespace.yaml")
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	cfg := shortConfig(t).LeaderElection
	cfg.LeaseName = "taken"
	hold := election{client: kube.CoordinationV1(), namespace: "rawserve-system", identity: "holder", config: cfg, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	held, released := make(chan struct{}), make(chan error, 1)
	go func() {
		released <- hold.lead(ctx, func(ctx context.Context) error { close(held); <-ctx.Done(); return nil })
	}()
	<-held
	waiting := hold
	waiting.identity = "waiting"
	soon, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- waiting.lead(soon, func(context.Context) error { return errors.New("it led") }) }()
	stop()
	require.NoError(t, <-done)
	cancel()
	require.NoError(t, <-released)
}

// TestTheRightsInTheManifestsSuffice has the whole controller work as the service
// account of the manifests: whatever is forbidden would be missing here.
func TestTheRightsInTheManifestsSuffice(t *testing.T) {
	config := apiservertest.Start(t)
	install(t, config, "namespace/namespace.yaml", "controller/serviceaccount.yaml", "controller/rbac.yaml", "runtimes/kserve-sklearnserver.yaml")
	namespace := apiservertest.Namespace(t, config)
	kube, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	rawserve, err := versioned.NewForConfig(config)
	require.NoError(t, err)
	ctx := t.Context()

	_, err = kube.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "hf"}, StringData: map[string]string{"HF_TOKEN": "t"},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = kube.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "models"}, Secrets: []corev1.ObjectReference{{Name: "hf"}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	r := start(t, asController(config), "controller-rights")
	uri, zero := "hf://owner/model", int32(0)
	isvc := &v1beta1.InferenceService{ObjectMeta: metav1.ObjectMeta{Name: "iris", Namespace: namespace}}
	isvc.Spec.Predictor.SKLearn = &v1beta1.PredictorExtensionSpec{StorageURI: &uri}
	isvc.Spec.Predictor.MinReplicas = &zero
	isvc.Spec.Predictor.ServiceAccountName = "models"
	isvcs := rawserve.ServingV1beta1().InferenceServices(namespace)
	_, err = isvcs.Create(ctx, isvc, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = isvcs.Delete(context.Background(), "iris", metav1.DeleteOptions{}) })

	eventually := func(what string, is func() bool) {
		t.Helper()
		require.Eventually(t, is, 60*time.Second, 50*time.Millisecond, what)
	}
	// The deployer: objects, credentials, status and events.
	eventually("a status", func() bool {
		got, err := isvcs.Get(ctx, "iris", metav1.GetOptions{})
		return err == nil && got.Status.Components[v1beta1.ComponentPredictor].LatestCreatedRevision != ""
	})
	edit := func(change func(*v1beta1.InferenceService)) {
		t.Helper()
		eventually("an edit", func() bool {
			got, err := isvcs.Get(ctx, "iris", metav1.GetOptions{})
			require.NoError(t, err)
			change(got)
			_, err = isvcs.Update(ctx, got, metav1.UpdateOptions{})
			return err == nil
		})
	}
	edit(func(i *v1beta1.InferenceService) { i.Spec.Predictor.Labels = map[string]string{"tier": "gold"} })
	eventually("an update", func() bool {
		d, err := kube.AppsV1().Deployments(namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
		return err == nil && d.Spec.Template.Labels["tier"] == "gold"
	})
	// The autoscaler: its status of the Scaler, and the scale.
	eventually("a decision", func() bool {
		s, err := rawserve.RawserveV1alpha1().Scalers(namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
		return err == nil && s.Status.Reason != ""
	})
	edit(func(i *v1beta1.InferenceService) {
		three := int32(3)
		i.Spec.Predictor.MinReplicas = &three
	})
	eventually("a scale", func() bool {
		scale, err := kube.AppsV1().Deployments(namespace).GetScale(ctx, "iris-predictor", metav1.GetOptions{})
		return err == nil && scale.Spec.Replicas == 3
	})
	edit(func(i *v1beta1.InferenceService) {
		i.Annotations = map[string]string{v1beta1.AnnotationAutoscalerClass: "hpa"}
	})
	eventually("an HPA", func() bool {
		_, err := kube.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
		return err == nil
	})
	edit(func(i *v1beta1.InferenceService) { i.Annotations[v1beta1.AnnotationStop] = "true" })
	eventually("everything deleted", func() bool {
		_, err := kube.AppsV1().Deployments(namespace).Get(ctx, "iris-predictor", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	edit(func(i *v1beta1.InferenceService) {
		i.Annotations = nil
		i.Spec.Predictor.SKLearn = nil
		i.Spec.Predictor.Model = &v1beta1.ModelSpec{ModelFormat: v1beta1.ModelFormat{Name: "unheard-of"}}
	})
	eventually("an event", func() bool {
		list, err := kube.EventsV1().Events(namespace).List(ctx, metav1.ListOptions{})
		require.NoError(t, err)
		return hasReason(list.Items, "NoSupportingRuntime")
	})
	require.NoError(t, r.stop())
	for len(r.log.lines) > 0 {
		require.NotContains(t, <-r.log.lines, "forbidden")
	}
}

func hasReason(list []eventsv1.Event, reason string) bool {
	for _, e := range list {
		if e.Reason == reason {
			return true
		}
	}
	return false
}

func TestUnusableConfigurationsAreNamed(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	for field, break_ := range map[string]func(*Config){
		"deployerWorkers":              func(c *Config) { c.DeployerWorkers = 0 },
		"autoscaler.tick":              func(c *Config) { c.Autoscaler.Tick.Duration = time.Millisecond },
		"kubernetes.qps":               func(c *Config) { c.Kubernetes.QPS = 0 },
		"adminAddress":                 func(c *Config) { c.AdminAddress = "" },
		"clusterDomain":                func(c *Config) { c.Deployer.ClusterDomain = "-" },
		"leaderElection.leaseName":     func(c *Config) { c.LeaderElection.LeaseName = "" },
		"leaderElection.renewDeadline": func(c *Config) { c.LeaderElection.RenewDeadline.Duration = time.Second },
		"leaderElection.leaseDuration": func(c *Config) { c.LeaderElection.LeaseDuration.Duration = time.Second },
	} {
		cfg := DefaultConfig()
		break_(&cfg)
		require.ErrorContains(t, cfg.Validate(), field)
	}
}

func TestTheConfigurationInTheManifestsIsTaken(t *testing.T) {
	text, err := os.ReadFile("../../manifests/controller/config.yaml")
	require.NoError(t, err)
	var configMap corev1.ConfigMap
	require.NoError(t, utilyaml.UnmarshalStrict(text, &configMap))
	cfg := DefaultConfig()
	require.NoError(t, utilyaml.UnmarshalStrict([]byte(configMap.Data["controller.yaml"]), &cfg))
	require.NoError(t, cfg.Validate())
	require.Equal(t, DefaultConfig(), cfg, "the manifest spells out defaults")
}
