package detach

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// oldAPI mounts with mount(2) in a mount namespace that only one thread sees,
// and takes a detached copy of the mount out of it.
func oldAPI(l Layers) (*os.File, error) {
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread has another mount namespace and ends with the goroutine.
		runtime.LockOSThread()
		f, err := mountAndClone(l)
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

func mountAndClone(l Layers) (_ *os.File, err error) {
	// CLONE_NEWNS unshares the working directory too: this thread may change it.
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, os.NewSyscallError("mount --make-rprivate /", err)
	}
	common := commonDir(append([]string{l.Upper, l.Work}, l.Lower...))
	if err := unix.Chdir(common); err != nil {
		return nil, &os.PathError{Op: "chdir", Path: common, Err: err}
	}
	target, err := os.MkdirTemp("", "gantry-mount-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(target)) }()
	data, flags := oldOptions(l, common)
	if len(data) >= os.Getpagesize() {
		return nil, fmt.Errorf("overlay of %d directories needs %d bytes of options, the kernel takes %d", len(l.Lower), len(data), os.Getpagesize())
	}
	if err := unix.Mount("overlay", target, "overlay", flags, data); err != nil {
		return nil, fmt.Errorf("overlay: mount: %w", err)
	}
	defer func() { err = errors.Join(err, os.NewSyscallError("umount2", unix.Unmount(target, unix.MNT_DETACH))) }()
	return Bind(target, l.Upper == "")
}

// oldOptions writes the directories relative to common, so that many fit into the one page that mount(2) reads.
func oldOptions(l Layers, common string) (data string, flags uintptr) {
	rel := func(dir string) string {
		s := strings.TrimPrefix(dir, common)
		s = strings.TrimPrefix(s, "/")
		return strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace(s)
	}
	var lower []string
	for _, dir := range l.Lower {
		lower = append(lower, rel(dir))
	}
	opts := append([]string{"lowerdir=" + strings.Join(lower, ":")}, l.Options...)
	if l.Upper == "" {
		return strings.Join(opts, ","), unix.MS_RDONLY
	}
	opts = append(opts, "upperdir="+rel(l.Upper), "workdir="+rel(l.Work))
	return strings.Join(opts, ","), 0
}

// commonDir is the deepest directory above all non-empty paths.
func commonDir(paths []string) string {
	common := ""
	for _, p := range paths {
		if p == "" {
			continue
		}
		if common == "" {
			common = filepath.Dir(p)
		}
		for common != "/" && !strings.HasPrefix(p, common+"/") {
			common = filepath.Dir(common)
		}
	}
	return common
}
