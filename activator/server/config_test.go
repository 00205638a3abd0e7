package server

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
	c.Queue.MaxRequests = 0
	c.Queue.MaxBytes = resource.MustParse("-1")
	c.Queue.MaxSpool = resource.MustParse("5Gi")
	c.Timeouts.Queue.Duration = 0
	c.Timeouts.Idle.Duration = -time.Second
	c.Shutdown.Timeout.Duration = 0
	c.Kubernetes.QPS = 0
	err := c.Validate()
	for _, field := range []string{
		"adminPort", "queue.maxRequests:", "queue.maxBytes:", "queue.maxSpool:", "timeouts.queue:", "timeouts.idle:", "shutdown.timeout:", "kubernetes:",
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
