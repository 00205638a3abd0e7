package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rawserve/rawserve/e2e/cluster/image"
)

func TestTheFirstBinaryIsRunAndFoldersLieBelow(t *testing.T) {
	require.Equal(t, image.Spec{
		Reference: "web:1",
		Layers: []image.Layer{
			{{Path: "/mnt/models", From: "./models"}},
			{{Path: "/server", From: "bin/server"}, {Path: "/usr/bin/probe", From: "bin/probe"}},
		},
		Entrypoint: []string{"/server"},
	}, describeImage("web:1", []string{"bin/server", "bin/probe:/usr/bin/probe"}, []string{"./models:/mnt/models"}))
}

func TestMistakesAreNamedBeforeAnythingIsDone(t *testing.T) {
	for want, args := range map[string][]string{
		`no command "upp"`:                      {"upp"},
		`takes no argument "extra"`:             {"up", "extra"},
		"want COMPONENT:--ARGUMENT=VALUE":       {"up", "--extra-arg", "kubelet"},
		`name "UPPER"`:                          {"status", "--name", "UPPER"},
		"give one archive":                      {"load-image"},
		"--ref: give the image a name":          {"load-image", "--binary", "x"},
		"not both":                              {"load-image", "--ref", "x", "--binary", "y", "z.tar"},
		"give a command after --":               {"exec"},
		"want `cluster node kill NODE`":         {"node", "kill"},
		"no such cluster":                       {"logs", "--name", "none-such", "kubelet"},
		"flag provided but not defined: -color": {"down", "--color"},
	} {
		require.ErrorContains(t, run(t.Context(), args), want)
	}
}

func TestExtraArgumentsAreCollectedPerComponent(t *testing.T) {
	e := extraArgs{}
	require.NoError(t, e.Set("kubelet:--v=4"))
	require.NoError(t, e.Set("kubelet:--a=b:c"))
	require.NoError(t, e.Set("etcd:--log-level=debug"))
	require.Equal(t, extraArgs{"kubelet": {"--v=4", "--a=b:c"}, "etcd": {"--log-level=debug"}}, e)
}

func TestAnImageCanBeWrittenWithoutACluster(t *testing.T) {
	dir := t.TempDir()
	program, output := filepath.Join(dir, "web"), filepath.Join(dir, "web.tar")
	require.NoError(t, os.WriteFile(program, []byte("x"), 0o755))
	require.NoError(t, run(t.Context(), []string{"load-image", "--ref", "web:1", "--binary", program, "--output", output}))
	references, err := image.References(output)
	require.NoError(t, err)
	require.Equal(t, []string{"docker.io/library/web:1"}, references)
}

func TestUsageNamesEveryCommand(t *testing.T) {
	var out bytes.Buffer
	usage(&out)
	for _, c := range commands {
		require.Contains(t, out.String(), "  cluster "+c.name)
	}
}
