package testkit

import (
	"os"

	"golang.org/x/sys/unix"
)

// DirEnv names the directory that engines keep their roots in.
const DirEnv = "GANTRY_TEST_DIR"

// realDir is a directory on a file system that overlayfs can use for upper directories. Paths of sockets are made
// below it, so it is short: sun_path holds 107 bytes, unix(7).
func realDir() string {
	candidates := []string{os.Getenv(DirEnv), "/var/tmp", os.TempDir(), "/var/lib"}
	for _, dir := range candidates {
		var fs unix.Statfs_t
		if dir == "" || unix.Statfs(dir, &fs) != nil {
			continue
		}
		if fs.Type != unix.TMPFS_MAGIC && fs.Type != unix.OVERLAYFS_SUPER_MAGIC {
			return dir
		}
	}
	return os.TempDir()
}
