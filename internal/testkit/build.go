package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// BinEnv names a directory of ready binaries; without it they are built from the tree.
const BinEnv = "GANTRY_BIN"

// builtIn is the directory that Cleanup removes.
var builtIn struct {
	sync.Mutex
	dir string
}

// tool returns the path of a binary, building it first if this process has not. pkg is its directory in the module.
func tool(pkg string) (string, error) {
	name := filepath.Base(pkg)
	if dir := os.Getenv(BinEnv); dir != "" {
		if path := filepath.Join(dir, name); executable(path) {
			return path, nil
		}
	}
	builtIn.Lock()
	defer builtIn.Unlock()
	if builtIn.dir == "" {
		dir, err := os.MkdirTemp(realDir(), "gt-bin-")
		if err != nil {
			return "", err
		}
		builtIn.dir = dir
	}
	path := filepath.Join(builtIn.dir, name)
	if executable(path) {
		return path, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", path, "./"+pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Cleanup removes what this process has built. TestMain calls it last.
func Cleanup() {
	builtIn.Lock()
	defer builtIn.Unlock()
	if builtIn.dir != "" {
		_ = os.RemoveAll(builtIn.dir)
		builtIn.dir = ""
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// moduleRoot is the directory of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
