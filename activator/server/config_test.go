package server

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

func load(t *testing.T, text string) (Config, error) {
	path := filepath.Join(t.TempDir(), "activator.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return Load(path)
}

func TestAFileChangesOnlyWhatItNames(t *testing.T) {
	got, err := load(t, "queue: {maxRequests: 5, spoolDir: \"\"}\nshutdown: {delay: 3s}\n")
	require.NoError(t, err)
	want := Default()
	want.Queue.MaxRequests, want.Queue.SpoolDir = 5, ""
	want.Shutdown.Delay.Duration = 3 * time.Second
	require.Equal(t, want, got)
	none, err := Load("")
	require.NoError(t, err)
	require.Equal(t, Default(), none)
}

func TestAnUnknownFieldIsRefused(t *testing.T) {
	_, err := load(t, "queue: {maxRequest: 5}\n")
	require.ErrorContains(t, err, "maxRequest")
	_, err = Load("/does/not/exist")
	require.ErrorContains(t, err, "reading the configuration")
}

func TestValidateNamesEveryFieldThatCannotBeUsed(t *testing.T) {
	c := Default()
	require.NoError(t, c.Validate())
	c.AdminPort = 10500
	c.Limits.MaxConnections = 0
	c.Limits.MaxMemory = resource.MustParse("100Ki")
	c.Limits.MaxHeaderBytes = resource.MustParse("1G")
	c.Queue.MaxRequests = 0
	c.Queue.MaxBytes = resource.MustParse("-1")
	c.Queue.MaxSpool = resource.MustParse("5Gi")
	c.Timeouts.Queue.Duration = 0
	c.Timeouts.Idle.Duration = -time.Second
	c.Shutdown.Timeout.Duration = 0
	c.Kubernetes.QPS = 0
	c.Debug.Port = 10_500
	c.AccessLog = AccessLogConfig{SampleRatio: 2, MaxPerSecond: -1, ErrorsPerSecond: 1e9}
	c.Tracing = TracingConfig{Endpoint: "collector:4317", Protocol: "http/json", SampleRatio: math.NaN(), MaxPerSecond: -1, ParentsPerSecond: math.Inf(1)}
	err := c.Validate()
	for _, field := range []string{
		"adminPort", "limits.maxConnections:", "limits.maxMemory:", "limits.maxHeaderBytes:", "queue.maxRequests:", "queue.maxBytes:", "queue.maxSpool:", "timeouts.queue:", "timeouts.idle:", "shutdown.timeout:", "kubernetes:",
		"debug.port:", "accessLog.sampleRatio:", "accessLog.maxPerSecond:", "accessLog.errorsPerSecond:",
		"tracing.endpoint:", "tracing.protocol:", "tracing.sampleRatio:", "tracing.maxPerSecond:", "tracing.parentsPerSecond:",
	} {
		require.ErrorContains(t, err, field)
	}
}

func TestTheInstalledConfigurationIsValid(t *testing.T) {
	data, err := os.ReadFile("../../manifests/activator/config.yaml")
	require.NoError(t, err)
	var object struct {
		Data map[string]string `json:"data"`
	}
	require.NoError(t, yaml.Unmarshal(data, &object))
	require.Contains(t, object.Data, "activator.yaml")
	_, err = load(t, object.Data["activator.yaml"])
	require.NoError(t, err)
}

// TestTheDefaultLimitsFitTheInstalledMemory does the sum that LimitsConfig tells.
func TestTheDefaultLimitsFitTheInstalledMemory(t *testing.T) {
	data, err := os.ReadFile("../../manifests/activator/deployment.yaml")
	require.NoError(t, err)
	var d appsv1.Deployment
	require.NoError(t, yaml.UnmarshalStrict(data, &d))
	container := d.Spec.Template.Spec.Containers[0]
	var goLimit int64
	for _, e := range container.Env {
		if e.Name == "GOMEMLIMIT" {
			q, err := resource.ParseQuantity(strings.TrimSuffix(e.Value, "B"))
			require.NoError(t, err)
			goLimit = q.Value()
		}
	}
	const idle, known = 20 << 10, 80 << 20
	limits := Default().Limits
	require.LessOrEqual(t, limits.MaxMemory.Value()+(limits.MaxConnections-limits.MaxRequests)*idle+known, goLimit)
	require.LessOrEqual(t, goLimit+100<<20, container.Resources.Limits.Memory().Value(), "room for what Go does not count")

	q := Default().Queue
	const header = 1536
	require.LessOrEqual(t, q.MaxRequestsTotal*(requestCost+header)+q.MaxBytesTotal.Value(), limits.MaxMemory.Value())
	require.Less(t, q.MaxRequestsTotal, limits.MaxRequests, "what is held leaves room for what is not")
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte("queue: {maxRequests: 5}"))
	f.Add([]byte("timeouts: {queue: 1h}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		if c, err := Load(path); err == nil {
			require.NoError(t, c.Validate())
		}
	})
}
