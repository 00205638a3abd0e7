package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExitCodesTellDoneFailedAndWrongUsageApart(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/model.joblib" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("weights"))
	}))
	t.Cleanup(srv.Close)
	for name, c := range map[string]struct {
		args    []string
		env     []string
		code    int
		message string
	}{
		"a model that is there":   {args: []string{srv.URL + "/model.joblib"}, code: exitDone},
		"a model that is missing": {args: []string{srv.URL + "/other"}, code: exitFailed, message: "404 Not Found; check the storage URI"},
		"an unknown scheme":       {args: []string{"ftp://h/m"}, code: exitUsage, message: "known are"},
		"a wrong setting":         {args: []string{srv.URL + "/model.joblib"}, env: []string{"STORAGE_ATTEMPTS=many"}, code: exitUsage, message: "STORAGE_ATTEMPTS"},
	} {
		t.Run(name, func(t *testing.T) {
			dest, termination := t.TempDir(), filepath.Join(t.TempDir(), "termination-log")
			require.NoError(t, os.WriteFile(termination, []byte("of an earlier run"), 0o600))
			var stderr bytes.Buffer
			args := append([]string{"--termination-log", termination}, append(c.args, dest)...)
			require.Equal(t, c.code, run(context.Background(), args, c.env, &stderr))
			message, err := os.ReadFile(termination)
			require.NoError(t, err)
			if c.message == "" {
				require.FileExists(t, filepath.Join(dest, "model.joblib"))
				return
			}
			require.Contains(t, string(message), c.message)
			require.NotContains(t, string(message), "earlier run")
		})
	}
}

func TestUsageIsExplained(t *testing.T) {
	var stderr bytes.Buffer
	require.Equal(t, exitUsage, run(context.Background(), []string{"gs://b/m"}, nil, &stderr))
	require.Contains(t, stderr.String(), "pairs of a storage URI and a folder")
	require.Equal(t, exitUsage, run(context.Background(), []string{"--no-such-flag"}, nil, &stderr))
	require.Equal(t, exitDone, run(context.Background(), []string{"--help"}, nil, &stderr))
	require.Contains(t, stderr.String(), "usage: storage-initializer")
}

func TestBeingToldToStopIsNoFailureOfTheModel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(srv.Close)
	var stderr bytes.Buffer
	require.Equal(t, exitStopped, run(ctx, []string{srv.URL + "/m.bin", t.TempDir()}, nil, &stderr))
	require.Contains(t, stderr.String(), "stopped before the end")
}

func TestATerminationMessageFitsAndIsNeverCreated(t *testing.T) {
	file := filepath.Join(t.TempDir(), "termination-log")
	require.Error(t, report(file, context.Canceled))
	require.NoFileExists(t, file)
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, report(file, &os.PathError{Op: "reading", Path: strings.Repeat("x", 2*maxTermination), Err: os.ErrNotExist}))
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Len(t, got, maxTermination)
}
