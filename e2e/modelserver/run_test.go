package modelserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
)

// enter makes the packed root a read-only root file system of a process without
// rights, with the model mounted as a pod would have it. Its arguments are the root,
// a mount point and the model's folder; what follows is the command.
const enter = `set -e
mount --bind "$1" "$2"
mount -o remount,bind,ro "$2"
mount -t tmpfs -o mode=1777 tmpfs "$2/tmp"
mount --bind "$3" "$2/mnt/models"
mount -t proc proc "$2/proc"
mount --rbind /dev "$2/dev"
dir=$2; shift 3
exec chroot --userspec=1000:1000 --groups= "$dir" "$@"`

// TestThePackedServerPredictsTheClassesOfIris packs the server, which downloads some
// 150 MB where the cache has none, and runs it in namespaces of its own. It needs root
// and is only run where RAWSERVE_E2E_MODELSERVER is 1.
func TestThePackedServerPredictsTheClassesOfIris(t *testing.T) {
	if os.Getenv("RAWSERVE_E2E_MODELSERVER") != "1" {
		t.Skip("set RAWSERVE_E2E_MODELSERVER=1, as root, to pack and run the model server")
	}
	require.Zero(t, os.Geteuid(), "namespaces and chroot need root")
	pack, err := Pack(t.Context(), Options{Cache: os.Getenv("RAWSERVE_E2E_MODELSERVER_CACHE"), Python: os.Getenv("RAWSERVE_E2E_MODELSERVER_PYTHON"), Progress: os.Stderr})
	require.NoError(t, err)
	iris := filepath.Join(pack.Models(), "iris")
	ports := freePorts(t, 3)
	started := time.Now()
	ended := startServer(t, pack, iris,
		"MLSERVER_MODEL_IMPLEMENTATION=mlserver_sklearn.SKLearnModel", "MLSERVER_MODEL_NAME=iris", "MLSERVER_MODEL_URI=/mnt/models",
		"MLSERVER_HOST=127.0.0.1", fmt.Sprintf("MLSERVER_HTTP_PORT=%d", ports[0]), fmt.Sprintf("MLSERVER_GRPC_PORT=%d", ports[1]), fmt.Sprintf("MLSERVER_METRICS_PORT=%d", ports[2]))
	base := fmt.Sprintf("http://127.0.0.1:%d/v2/models/iris", ports[0])
	require.Eventually(t, func() bool {
		select {
		case <-ended:
			return true // the next request fails, and the output is shown
		default:
		}
		resp, err := http.Get(base + "/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, 2*time.Minute, 50*time.Millisecond)
	t.Logf("ready after %s", time.Since(started).Round(10*time.Millisecond))

	require.Equal(t, []int{0, 2}, predict(t, base))

	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", ports[1]), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// An empty message has the request's form; of the answer, the first field is ready.
	var answer emptypb.Empty
	require.NoError(t, conn.Invoke(ctx, "/inference.GRPCInferenceService/ServerReady", &emptypb.Empty{}, &answer))
	require.Equal(t, []byte{0x08, 0x01}, []byte(answer.ProtoReflect().GetUnknown()))
}

// predict asks for the rows that the training wrote down and returns the classes.
func predict(t *testing.T, base string) []int {
	t.Helper()
	body := `{"inputs":[{"name":"x","shape":[2,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2,6.7,3.0,5.2,2.3]}]}`
	resp, err := http.Post(base+"/infer", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var got struct {
		Outputs []struct {
			Data []int `json:"data"`
		} `json:"outputs"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&got))
	require.Len(t, got.Outputs, 1)
	return got.Outputs[0].Data
}

// startServer runs the image's command in the packed root and ends it with the test.
func startServer(t *testing.T, pack Packed, model string, env ...string) (ended <-chan struct{}) {
	t.Helper()
	point := t.TempDir()
	args := []string{"-m", "--propagation", "private", "sh", "-c", enter, "sh", pack.Root(), point, model,
		"/bin/sh", "-c", `exec mlserver start "${MLSERVER_MODELS_DIR:-/mnt/models}"`}
	cmd := exec.Command("unshare", args...)
	// The image's environment does the host's unshare, mount and chroot no harm.
	cmd.Env = append(append(environment(), env...), "PATH=/opt/python/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		<-done
		if t.Failed() {
			t.Log(output.String())
		}
	})
	return done
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}
