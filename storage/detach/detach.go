// Package detach makes detached mounts: file systems that are mounted nowhere,
// held by a descriptor of their root, and gone when its last copy is closed.
//
// The descriptor can be passed to a process in another mount namespace, which
// attaches it with move_mount(2); no mount appears in the caller's namespace.
package detach

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
)

// Layers is a stack of directories for overlayfs.
type Layers struct {
	Lower       []string // top first
	Upper, Work string   // both "" for a read-only stack
	Options     []string // "index=off", "userxattr"
}

// Open makes the detached mount that m describes: one overlay or one bind mount, as snapshotters return them.
func Open(m []mount.Mount) (*os.File, error) {
	if len(m) != 1 {
		return nil, fmt.Errorf("%d mounts: %w", len(m), errdefs.ErrNotImplemented)
	}
	switch m[0].Type {
	case "bind":
		return Bind(m[0].Source, m[0].ReadOnly())
	case "overlay":
		layers, err := ParseOverlay(m[0])
		if err != nil {
			return nil, err
		}
		return Overlay(layers)
	}
	return nil, fmt.Errorf("mount of type %q: %w", m[0].Type, errdefs.ErrNotImplemented)
}

// ParseOverlay reads the options of an overlay mount. Paths are absolute, so a
// colon inside of one is not taken for the separator. Errors: invalid argument.
func ParseOverlay(m mount.Mount) (Layers, error) {
	var l Layers
	for _, o := range m.Options {
		key, value, _ := strings.Cut(o, "=")
		switch key {
		case "lowerdir":
			l.Lower = strings.Split(value, ":/")
			for i := range l.Lower[1:] {
				l.Lower[i+1] = "/" + l.Lower[i+1]
			}
		case "upperdir":
			l.Upper = value
		case "workdir":
			l.Work = value
		case "ro", "rw":
		default:
			l.Options = append(l.Options, o)
		}
	}
	if len(l.Lower) == 0 || (l.Upper == "") != (l.Work == "") {
		return Layers{}, errdefs.ErrInvalidArgument.WithMessage("overlay mount without its directories")
	}
	return l, nil
}

// Bind is a detached bind mount of a directory, without the mounts below it.
func Bind(dir string, readOnly bool) (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: dir, Err: err}
	}
	f := os.NewFile(uintptr(fd), dir)
	if readOnly {
		if err := setReadOnly(f); err != nil {
			return nil, closeAfter(f, err)
		}
	}
	return f, nil
}

func setReadOnly(f *os.File) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	return nil
}

// Overlay is a detached overlay mount. A read-only stack of one directory is a
// read-only bind mount of it, which is what overlayfs would show.
func Overlay(l Layers) (*os.File, error) {
	if l.Upper == "" && len(l.Lower) == 1 {
		return Bind(l.Lower[0], true)
	}
	f, err := newAPI(l)
	// What an older kernel answers: no fsopen, or lowerdir+ is an unknown parameter, noticed at once or at the end.
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		if old, oldErr := oldAPI(l); oldErr == nil {
			return old, nil
		}
	}
	return f, err
}
