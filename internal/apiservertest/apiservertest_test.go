package apiservertest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/rawserve/rawserve/internal/apiservertest"
)

func TestMain(m *testing.M) { apiservertest.Main(m) }

func TestTestsOfOneBinaryShareTheServer(t *testing.T) {
	first := apiservertest.Start(t)
	second := apiservertest.Start(t)
	require.Equal(t, first.Host, second.Host)
	require.NotSame(t, first, second, "a test that changes its configuration must not change another's")
}

func TestNamespacesAreNeverShared(t *testing.T) {
	config := apiservertest.Start(t)
	a, b := apiservertest.Namespace(t, config), apiservertest.Namespace(t, config)
	require.NotEqual(t, a, b)

	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	for _, name := range []string{a, b} {
		ns, err := client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, t.Name(), ns.Annotations["test"])
	}
}

func TestMissingBinariesAreNamedWithTheRemedy(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a sub-test that skips")
	}
	t.Setenv(apiservertest.BinDirEnv, t.TempDir())
	t.Setenv("CI", "")
	var skipped bool
	t.Run("asks for a server", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		apiservertest.Start(t)
	})
	require.True(t, skipped)
}
