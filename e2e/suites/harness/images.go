package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rawserve/rawserve/e2e/cluster/image"
)

// SystemImage holds every program of rawserve.
const SystemImage = "rawserve/rawserve:dev"

// TestServerImage holds the fast model server of the tests.
const TestServerImage = "rawserve/testserver:dev"

// certificates are the authorities that this machine trusts, at the path where Go looks for them.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// programs are the commands in SystemImage, each at /app/NAME.
var programs = []string{"controller", "activator", "agent", "metrics-adapter", "storage-initializer"}

// BuildImages compiles rawserve and writes its images as archives into dir. It
// returns the archives' files.
func BuildImages(ctx context.Context, root, dir string) ([]string, error) {
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, fmt.Errorf("making folder %s: %w", bin, err)
	}
	group, buildCtx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, p := range programs {
		group.Go(func() error { return compile(buildCtx, root, "./cmd/"+p, filepath.Join(bin, p)) })
	}
	group.Go(func() error { return compile(buildCtx, root, "./e2e/testserver", filepath.Join(bin, "testserver")) })
	if err := group.Wait(); err != nil {
		return nil, err
	}

	system := image.Spec{Reference: SystemImage, User: "65532:65532"}
	var layer image.Layer
	for _, p := range programs {
		layer = append(layer, image.Entry{Path: "/app/" + p, From: filepath.Join(bin, p)})
	}
	// The storage initializer fetches over https.
	if _, err := os.Stat(certificates); err == nil {
		layer = append(layer, image.Entry{Path: certificates, From: certificates})
	}
	system.Layers = []image.Layer{layer}
	test := image.Binary(TestServerImage, filepath.Join(bin, "testserver"))
	test.User = "65532:65532"

	var files []string
	for _, spec := range []image.Spec{system, test} {
		file := filepath.Join(dir, filepath.Base(spec.Reference)+".tar")
		if err := image.Write(ctx, spec, file); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// compile builds one program without cgo, as images hold nothing beside it.
func compile(ctx context.Context, root, pkg, file string) error {
	// Without the commit in it, a program changes only when its sources do.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", file, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// loadImages builds what the cluster is to run and hands it to every node.
func (e *Env) loadImages(ctx context.Context, o Options) error {
	if !e.Target.CanLoadImages() {
		e.Say("using images %s and %s as the cluster finds them", SystemImage, TestServerImage)
		return nil
	}
	dir, err := os.MkdirTemp("", "rawserve-images-")
	if err != nil {
		return fmt.Errorf("making a folder for images: %w", err)
	}
	defer os.RemoveAll(dir)
	e.Say("building rawserve's images")
	files, err := BuildImages(ctx, e.root, dir)
	if err != nil {
		return err
	}
	if o.Models {
		e.Say("packing the model server and training the model (cached by its requirements)")
		more, err := modelImages(ctx, e.root, dir, o.InstallDeps, e.progress)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	for _, file := range files {
		if err := e.loadImage(ctx, file); err != nil {
			return fmt.Errorf("loading %s: %w", filepath.Base(file), err)
		}
	}
	return nil
}

// loadImage puts an archive's images on every node and remembers what their names
// stand for now.
func (e *Env) loadImage(ctx context.Context, file string) error {
	references, err := image.References(file)
	if err != nil {
		return err
	}
	for _, r := range references {
		if e.images[r], err = image.ID(file, r); err != nil {
			return err
		}
	}
	return e.Target.LoadImage(ctx, file)
}

// outdated tells whether pods of a namespace may run images that have been replaced
// by others of the same names. What was loaded from here is known exactly; where
// nodes get their images in another way, any pod may.
func (e *Env) outdated(ctx context.Context, namespace string) (bool, error) {
	pods, err := e.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("listing pods of %s: %w", namespace, err)
	}
	if !e.Target.CanLoadImages() {
		return len(pods.Items) > 0, nil
	}
	return slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return runsOther(p, e.images) }), nil
}

// runsOther tells whether a pod that is to stay runs another image than the one
// that its name stands for now.
func runsOther(p corev1.Pod, images map[string]string) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	wanted := map[string]string{}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		wanted[c.Name] = images[image.Canonical(c.Image)]
	}
	statuses := slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses)
	return slices.ContainsFunc(statuses, func(s corev1.ContainerStatus) bool {
		// One that has not started yet takes the new image.
		return s.ImageID != "" && wanted[s.Name] != "" && !strings.HasSuffix(s.ImageID, wanted[s.Name])
	})
}

// BuildRepositoryImages builds the images of the checkout that the working
// folder is in.
func BuildRepositoryImages(ctx context.Context, dir string) ([]string, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	return BuildImages(ctx, root, dir)
}
