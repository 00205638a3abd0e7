package build

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestVersionsComeFromTheModuleFiles(t *testing.T) {
	m := Module{Folder: "kubernetes", Requires: "k8s.io/kubernetes"}
	for situation, text := range map[string]string{
		"single line": "module x\n\nrequire k8s.io/kubernetes v1.37.1\n",
		"in a block":  "require (\n\tk8s.io/kubernetes/staging v9\n\tk8s.io/kubernetes v1.37.1 // indirect\n)\n",
	} {
		got, err := m.version(text)
		require.NoError(t, err, situation)
		require.Equal(t, "v1.37.1", got, situation)
	}
	_, err := m.version("module x\n")
	require.ErrorContains(t, err, "does not require k8s.io/kubernetes")
}

func TestKubernetesIsLinkedWithItsVersion(t *testing.T) {
	require.Equal(t, "kubernetes", Modules[0].Folder)
	require.Equal(t, "-s -w -X k8s.io/component-base/version.gitTreeState=clean"+
		" -X k8s.io/component-base/version.gitVersion=v1.37.1"+
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37",
		Modules[0].ldflags("v1.37.1"))
}

func TestEveryComponentOfTheTreeIsComplete(t *testing.T) {
	source, err := FindSource()
	require.NoError(t, err)
	missing, err := Cache{Folder: t.TempDir(), Source: source}.Missing()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
		"metrics-server", "containerd", "containerd-shim-runc-v2", "ctr", "coredns", "etcd", "pause",
	}, missing)
}

func TestAnEditOfSourcesOrFlagsGivesAnotherPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	hash := func(flags string) string {
		sum, err := hashSource(dir, flags)
		require.NoError(t, err)
		return sum
	}
	require.NoError(t, os.WriteFile(file, []byte("package main"), 0o644))
	before := hash("-s")
	require.Equal(t, before, hash("-s"))
	require.NotEqual(t, before, hash("-w"))
	require.NoError(t, os.WriteFile(file, []byte("package  main"), 0o644))
	require.NotEqual(t, before, hash("-s"))
}

// tiny makes a module whose program takes a moment to build.
func tiny(t *testing.T, program string) (Cache, item) {
	t.Helper()
	source := filepath.Join(t.TempDir(), "tiny")
	require.NoError(t, os.MkdirAll(source, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(source, "go.mod"), []byte("module tiny\n\ngo 1.26.0\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(source, "main.go"), []byte(program), 0o644))
	c := Cache{Folder: t.TempDir(), Source: filepath.Dir(source)}
	return c, item{
		module: Module{Folder: "tiny"}, binary: Binary{"tiny", "."}, version: "v1",
		file: filepath.Join(c.Folder, "bin", "tiny", "tiny"), ldflags: "-s -w",
	}
}

func TestABuildIsToldAndKept(t *testing.T) {
	c, it := tiny(t, "package main\n\nfunc main() {}\n")
	var told bytes.Buffer
	c.Progress = NewProgress(&told)

	require.NoError(t, c.buildMissing(t.Context(), []item{it}))

	require.FileExists(t, it.file)
	require.NoFileExists(t, it.file+".unfinished")
	require.Contains(t, told.String(), "building tiny v1 (1 of 1)")
	require.Empty(t, missing([]item{it}))
}

func TestAFailedBuildSaysWhyAndLeavesNothing(t *testing.T) {
	c, it := tiny(t, "package main\n\nfunc main() { undefinedThing() }\n")
	err := c.buildMissing(t.Context(), []item{it})
	require.ErrorContains(t, err, "building tiny")
	require.ErrorContains(t, err, "undefinedThing")
	require.NoFileExists(t, it.file)
}

func TestOneHoldsALockAndTheNextWaits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), file, func() { t.Error("the first waits") })
	require.NoError(t, err)

	waits, locked := make(chan struct{}), make(chan error, 1)
	go func() {
		unlockToo, err := Lock(t.Context(), file, func() { close(waits) })
		if err == nil {
			unlockToo()
		}
		locked <- err
	}()
	<-waits
	require.Empty(t, locked)
	unlock()
	require.NoError(t, <-locked)
}

func TestALockWhoseFileWasDeletedDoesNotLockOutTheNext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), file, func() {})
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	unlockNew, err := Lock(t.Context(), file, func() { t.Error("a deleted file's lock counts") })
	require.NoError(t, err)
	unlock()

	// The new file's lock holds although the old one was released.
	f, err := tryLock(file)
	require.NoError(t, err)
	require.Nil(t, f)
	unlockNew()
}

func TestWaitingForALockEndsWithTheContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), file, func() {})
	require.NoError(t, err)
	defer unlock()
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = Lock(ctx, file, func() { cancel(gone) })
	require.ErrorIs(t, err, gone)
}

func TestProgressWritesALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		done := NewProgress(&out).Start("building kubelet")
		time.Sleep(40 * time.Second) // of the test's own clock
		done(errors.New("no"))
		require.Equal(t, []string{
			"building kubelet",
			"building kubelet: 15s",
			"building kubelet: 30s",
			"building kubelet: failed: 40s",
		}, strings.Split(strings.TrimSpace(out.String()), "\n"))
	})
}

func TestNobodyNeedsToBeTold(t *testing.T) {
	var nobody *Progress
	nobody.Say("something")
	nobody.Start("something")(nil)
}
