package adopt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// foreign are the classic storage drivers whose layers are not directories for overlayfs.
var foreign = [...]string{"aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "vfs", "zfs"}

// wayOut is what to do about images that cannot be carried over.
const wayOut = "with the Docker that wrote them, save what you need (docker save, docker push, docker commit for containers), then give gantry an empty data root and load it"

// refuseElsewhere is for layers that cannot be renamed to where ours are.
func (r *Root) refuseElsewhere() {
	if has(r.overlay()) && !sameFileSystem(r.overlay(), r.Dir) {
		r.Refusals = append(r.Refusals, fmt.Sprintf("%s is on another file system than %s: layers are taken over by rename; bring them together (gantry migrate --from %s --to DIR --copy)",
			r.overlay(), r.Dir, r.Dir))
	}
}

// recognise looks for data of storage drivers and versions that cannot be adopted.
func (r *Root) recognise() error {
	if from, err := os.ReadFile(filepath.Join(r.Dir, relocation)); err == nil {
		r.Refusals = append(r.Refusals, fmt.Sprintf("%s is being filled from %s: call gantry migrate --from %s --to %s again, which completes it", r.Dir, from, from, r.Dir))
		return nil
	}
	if has(filepath.Join(r.Dir, "graph")) && !has(filepath.Join(r.Dir, "image")) {
		r.Refusals = append(r.Refusals, fmt.Sprintf("%s is of a Docker before 1.10 (it has the directory graph), whose images have other IDs: start Docker 1.10 to 28 on it once, which converts it, or %s",
			r.Dir, wayOut))
		return nil
	}
	entries, err := readDir(filepath.Join(r.Dir, "image"))
	for _, e := range entries {
		name := e.Name()
		if name == Driver || !hasImages(filepath.Join(r.Dir, "image", name)) {
			continue
		}
		if !slices.Contains(foreign[:], name) {
			name = "unknown storage driver " + name
		} else {
			name = "storage driver " + name
		}
		r.Refusals = append(r.Refusals, fmt.Sprintf("%s holds images of the %s, which cannot be carried over: %s; or, if they are of no use any more, move %s away",
			r.Dir, name, wayOut, filepath.Join(r.Dir, "image", e.Name())))
	}
	return err
}

func has(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// hasImages reports whether an image store has anything in it.
func hasImages(dir string) bool {
	for _, sub := range []string{"imagedb/content/sha256", "layerdb/sha256", "layerdb/mounts"} {
		if entries, err := os.ReadDir(filepath.Join(dir, sub)); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}

// databases are files that engines keep locked while they run: gantry, dockerd and its containerd.
var databases = [...]string{"gantry.lock", "volumes/metadata.db", "buildkit/cache.db", "buildkit/metadata_v2.db", "containerd/daemon/io.containerd.metadata.v1.bolt/meta.db"}

// refuseBusy finds out whether somebody uses the data root now.
func (r *Root) refuseBusy() {
	if open := Busy(r.Dir); open != "" {
		r.Refusals = append(r.Refusals, fmt.Sprintf("%s is in use: another engine has %s open; stop it first (systemctl stop docker.socket docker)", r.Dir, open))
	}
	mounted := mountedLayers()
	for _, c := range r.Containers {
		if pid := mounted[c.MountID]; pid != 0 {
			r.Refusals = append(r.Refusals, fmt.Sprintf("container %s (%s) is running without an engine that could be asked, or its files are still mounted (process %d sees them): start dockerd and stop the container with it (docker stop %s), or unmount %s",
				c.Name, shortID(c.ID), pid, c.Name, r.overlay(c.MountID, "merged")))
		}
	}
}

// locked reports whether another process holds the lock of a file.
func locked(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // nothing was written
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// upperDir is how an overlay of Docker's shows whose it is in mountinfo, proc(5).
var upperDir = regexp.MustCompile(`upperdir=[^, ]*/overlay2/([^/, ]+)/diff`)

// mountedLayers returns the rw layers that are mounted in any mount namespace that has a process, and such a process.
// The process number in a record would not do: it may be another one's by now.
func mountedLayers() map[string]int {
	out := map[string]int{}
	seen := map[string]bool{}
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	for _, p := range processes {
		namespace, err := os.Readlink(p + "/ns/mnt")
		if err != nil || seen[namespace] {
			continue // it has ended, or there was one in the same
		}
		mounts, err := os.ReadFile(p + "/mountinfo")
		if err != nil {
			continue
		}
		seen[namespace] = true
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil {
			continue
		}
		for _, m := range upperDir.FindAllSubmatch(mounts, -1) {
			out[string(m[1])] = pid
		}
	}
	return out
}

// readLeft lists the volumes, which stay, and what the directories have that nothing carried over refers to.
func (r *Root) readLeft() error {
	entries, err := readDir(r.overlay())
	if err != nil {
		return err
	}
	var unknown []string
	for _, e := range entries {
		if e.IsDir() && e.Name() != "l" && !r.CacheIDs[e.Name()] {
			unknown = append(unknown, e.Name())
		}
	}
	if len(unknown) > 0 {
		r.Left = append(r.Left, fmt.Sprintf("%d directories in %s that no image or container has (build cache, or what dockerd forgot to delete): delete them when you like", len(unknown), r.overlay()))
	}
	volumes, err := readDir(filepath.Join(r.Dir, "volumes"))
	for _, v := range volumes {
		if v.IsDir() {
			r.Volumes = append(r.Volumes, v.Name())
		}
	}
	if entries, err := readDir(filepath.Join(r.Dir, "buildkit")); err == nil && len(entries) > 0 {
		r.Left = append(r.Left, "the build cache in buildkit/: its next build begins without one")
	}
	return err
}
