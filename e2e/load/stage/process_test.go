package stage

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func shell(t *testing.T, script string) *process {
	p, err := spawn(exec.Command("sh", "-c", script), "script", filepath.Join(t.TempDir(), "script.log"))
	require.NoError(t, err)
	t.Cleanup(func() { stopAll([]*process{p}) })
	return p
}

func TestChildrenThatDoNotWantToEndAreKilledTogether(t *testing.T) {
	var all []*process
	for range 4 {
		p := shell(t, "trap '' TERM; echo here; while :; do sleep 0.05; done")
		require.NoError(t, p.until(t.Context(), func(context.Context) error {
			if tail(p.log) != "script.log:\nhere" {
				return errors.New("it has not said that it is here")
			}
			return nil
		}))
		all = append(all, p)
	}
	begun := time.Now()
	stopAll(all)
	require.Less(t, time.Since(begun), 2*stopTimeout, "each was waited for in turn")
	for _, p := range all {
		<-p.ended
	}
}

func TestAChildThatEndsWhileItIsWaitedForShowsItsLog(t *testing.T) {
	p := shell(t, "echo 'port 8012 is taken' >&2; exit 3")
	err := p.until(t.Context(), func(context.Context) error { return errors.New("not yet") })
	require.ErrorContains(t, err, "port 8012 is taken")
	require.ErrorContains(t, err, "exit status 3")
}

func TestNobodyWaitsLongerThanTheContext(t *testing.T) {
	p := shell(t, "exec sleep 60")
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	err := p.until(ctx, func(context.Context) error {
		if asked++; asked == 3 {
			cancel()
		}
		return errors.New("the port is closed")
	})
	require.ErrorContains(t, err, "the port is closed")
}
