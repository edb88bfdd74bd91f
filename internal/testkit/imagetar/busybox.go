package imagetar

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// applets are the commands that tests use, as links to /bin/busybox.
var applets = []string{
	"[", "adduser", "ash", "awk", "basename", "cat", "chmod", "chown", "chroot", "cp", "cut", "date", "dd", "df", "dirname",
	"dmesg", "du", "echo", "env", "expr", "false", "find", "free", "getopt", "grep", "gunzip", "gzip", "head", "hostname",
	"id", "ifconfig", "ip", "kill", "killall", "ln", "ls", "md5sum", "mkdir", "mkfifo", "mknod", "mktemp", "more", "mount",
	"mv", "nc", "netstat", "nice", "nohup", "nproc", "nslookup", "od", "pgrep", "pidof", "ping", "pkill", "printf", "ps", "pwd",
	"readlink", "realpath", "reset", "rm", "rmdir", "route", "sed", "seq", "setsid", "sh", "sha256sum", "sleep", "sort", "stat",
	"stty", "su", "sync", "sysctl", "tail", "tar", "tee", "test", "timeout", "top", "touch", "tr", "true", "tty", "udhcpc", "umount",
	"uname", "uniq", "uptime", "usleep", "vi", "watch", "wc", "wget", "which", "whoami", "xargs", "yes", "zcat",
}

// BusyboxPath is Debian's busybox-static.
const BusyboxPath = "/bin/busybox"

// BusyboxRootfs is a small root file system: busybox with its links, passwd and group, /tmp.
func BusyboxRootfs(binary []byte) Rootfs {
	dir := func(perm fs.FileMode) File { return File{Mode: fs.ModeDir | perm} }
	files := Rootfs{
		"bin/busybox": {Mode: 0o755, Data: string(binary)},
		"etc/passwd": {Data: "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n" +
			"www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"},
		"etc/group":  {Data: "root:x:0:\ndaemon:x:1:\ntty:x:5:\naudio:x:29:\nwww-data:x:33:\nusers:x:100:\nnobody:x:65534:\n"},
		"etc/shadow": {Mode: 0o600, Data: "root:*:19000:0:99999:7:::\n"},
		"dev":        dir(0o755), "proc": dir(0o755), "sys": dir(0o755), "home": dir(0o755),
		"root": dir(0o700), "usr/bin": dir(0o755), "usr/sbin": dir(0o755), "var": dir(0o755),
		"tmp": dir(fs.ModeSticky | 0o777),
	}
	for _, name := range applets {
		files["bin/"+name] = File{Link: "bin/busybox"}
	}
	files["usr/bin/env"] = File{Mode: fs.ModeSymlink | 0o777, Data: "../../bin/env"}
	return files
}

var busybox = sync.OnceValues(func() ([]byte, error) {
	binary, err := os.ReadFile(BusyboxPath)
	if err != nil {
		return nil, fmt.Errorf("install busybox-static: %w", err)
	}
	return Build(BusyboxImage(binary, "busybox:latest"))
})

// BusyboxImage is the image that Busybox archives, under other names.
func BusyboxImage(binary []byte, tags ...string) Image {
	return Image{
		Tags:   tags,
		Layers: []Rootfs{BusyboxRootfs(binary)},
		Config: dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{
			Cmd: []string{"sh"},
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		}},
	}
}

// Busybox returns a docker-save archive of busybox:latest. The caller must not change it.
func Busybox(t testing.TB) []byte {
	t.Helper()
	data, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
