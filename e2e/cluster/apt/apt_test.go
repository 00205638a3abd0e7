package apt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stub puts an apt-get on the path that notes how it is called.
func stub(t *testing.T, script string) (calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\necho \"$*\" >>\"$STATE/calls\"\n"+script+"\n"), 0o755))
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("STATE", dir)
	return func() []string {
		text, err := os.ReadFile(filepath.Join(dir, "calls"))
		require.NoError(t, err)
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func quiet(string, ...any) {}

const install = "install --yes --no-install-recommends runc nftables"

var packages = []string{"runc", "nftables"}

func TestOnlyAFailedInstallationAsksForNewLists(t *testing.T) {
	calls := stub(t, `true`)
	require.NoError(t, Install(t.Context(), packages, quiet))
	require.Equal(t, []string{install}, calls())

	calls = stub(t, `case $1 in update) touch "$STATE/lists" ;; install) [ -e "$STATE/lists" ] ;; esac`)
	require.NoError(t, Install(t.Context(), packages, quiet))
	require.Equal(t, []string{install, "update", install}, calls())
}

func TestWhatAptSaysIsInTheError(t *testing.T) {
	calls := stub(t, `[ $1 = update ] || { echo "E: Unable to locate package runc"; exit 100; }`)
	err := Install(t.Context(), packages, quiet)
	require.ErrorContains(t, err, "apt-get "+install)
	require.ErrorContains(t, err, "Unable to locate package runc")
	require.Equal(t, []string{install, "update", install}, calls())

	calls = stub(t, `echo "no network"; exit 1`)
	require.ErrorContains(t, Install(t.Context(), packages, quiet), "apt-get update: exit status 1: no network")
	require.Equal(t, []string{install, "update"}, calls())
}

func TestInstallingNeedsAptGet(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.ErrorContains(t, Install(t.Context(), packages, quiet), "installing runc nftables: this machine has no apt-get")
}
