package preflight

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/rawserve/rawserve/e2e/cluster/apt"
	"github.com/rawserve/rawserve/e2e/cluster/internal/network"
	"github.com/rawserve/rawserve/e2e/cluster/internal/plan"
)

// Options says what is about to be started.
type Options struct {
	Cluster plan.Cluster
	// Cache is where binaries will be kept.
	Cache string
	// Builds is the number of binaries that are not there.
	Builds      int
	InstallDeps bool
	// Say tells a person what happens.
	Say func(format string, args ...any)
}

// Found is what the start needs of the machine.
type Found struct {
	Runc, CNI string
}

// Run looks at the machine, installs missing packages if asked to, and gives
// Problems as its error if something still stands in the way.
func Run(ctx context.Context, o Options) (Found, error) {
	facts, demand, err := look(ctx, o)
	if err != nil {
		return Found{}, fmt.Errorf("looking at the machine: %w", err)
	}
	problems := Check(facts, demand)
	if packages := problems.Packages(); o.InstallDeps && len(packages) > 0 {
		if err := apt.Install(ctx, packages, o.Say); err != nil {
			return Found{}, err
		}
		if facts, demand, err = look(ctx, o); err != nil {
			return Found{}, fmt.Errorf("looking at the machine: %w", err)
		}
		problems = Check(facts, demand)
	}
	if len(problems) > 0 {
		return Found{}, problems
	}
	return Found{Runc: facts.Tools["runc"], CNI: facts.CNI}, nil
}

func look(ctx context.Context, o Options) (Facts, Demand, error) {
	facts := Facts{Tools: map[string]string{}, Capable: capable()}
	for tool := range Needs {
		if file, err := findTool(tool); err == nil {
			facts.Tools[tool] = file
		}
	}
	_, err := exec.LookPath("go")
	facts.Go = err == nil
	facts.CNI = findPlugins()
	if facts.CacheFree, err = free(o.Cache); err != nil {
		return Facts{}, Demand{}, err
	}
	if facts.StateFree, err = free(plan.StateRoot); err != nil {
		return Facts{}, Demand{}, err
	}
	if facts.MemoryFree, err = memoryFree(); err != nil {
		return Facts{}, Demand{}, err
	}
	if facts.Overlay, err = hasOverlay(); err != nil {
		return Facts{}, Demand{}, err
	}
	if !facts.Overlay && loadModule(ctx, "overlay") {
		facts.Overlay = true
	}
	facts.BridgeFilter = hasBridgeFilter() || loadModule(ctx, "br_netfilter") && hasBridgeFilter()
	_, err = os.Stat(o.Cluster.SpecFile())
	isNew := errors.Is(err, fs.ErrNotExist)
	if isNew {
		if facts.Taken, err = foreign(o.Cluster); err != nil {
			return Facts{}, Demand{}, err
		}
	}
	return facts, Demand{Nodes: o.Cluster.Nodes, Builds: o.Builds, New: isNew}, nil
}

// systemPath is searched besides the caller's: sudo and cron may shorten that.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func findTool(name string) (string, error) {
	if file, err := exec.LookPath(name); err == nil {
		return file, nil
	}
	for dir := range strings.SplitSeq(systemPath, ":") {
		if file, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

func findPlugins() string {
	for _, dir := range []string{os.Getenv("CNI_PATH"), "/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		complete := dir != ""
		for _, plugin := range Plugins {
			if _, err := os.Stat(filepath.Join(dir, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return dir
		}
	}
	return ""
}

// free is the space left where a folder is or would be.
func free(dir string) (uint64, error) {
	for {
		var info unix.Statfs_t
		err := unix.Statfs(dir, &info)
		if err == nil {
			return info.Bavail * uint64(info.Bsize), nil
		}
		if !errors.Is(err, unix.ENOENT) || dir == "/" {
			return 0, fmt.Errorf("measuring %s: %w", dir, err)
		}
		dir = filepath.Dir(dir)
	}
}

func memoryFree() (uint64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	return ParseMemory(string(text))
}

// ParseMemory finds the available memory in the text of /proc/meminfo.
func ParseMemory(meminfo string) (uint64, error) {
	for line := range strings.Lines(meminfo) {
		if rest, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no MemAvailable in /proc/meminfo")
}

func hasOverlay() (bool, error) {
	text, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false, err
	}
	return strings.Contains(string(text), "\toverlay\n"), nil
}

func hasBridgeFilter() bool {
	_, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables")
	return err == nil
}

func loadModule(ctx context.Context, name string) bool {
	file, err := findTool("modprobe")
	return err == nil && exec.CommandContext(ctx, file, name).Run() == nil
}

// capable looks for the capabilities to administer the system and its networks.
func capable() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	const need = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_NET_ADMIN
	return data[0].Effective&need == need
}

// foreign names what a new cluster would collide with. A namespace file of the
// cluster's name is not the cluster's: those are removed with it.
func foreign(c plan.Cluster) ([]string, error) {
	if hasState(c) {
		return nil, nil
	}
	var taken []string
	for _, n := range c.AllNodes() {
		if _, err := os.Stat(n.NetnsPath()); err == nil {
			taken = append(taken, "network namespace "+n.NetnsPath())
		}
	}
	found, err := network.HasInterface(c.HostInterface())
	if found {
		taken = append(taken, "network interface "+c.HostInterface())
	}
	return taken, err
}

// hasState says whether a folder of the cluster is left: then what bears its
// name are its remains, which are cleared before the start.
func hasState(c plan.Cluster) bool {
	_, err := os.Stat(c.Dir())
	return err == nil
}
