package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gantry/container/spec"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
# comment
web:x:33:34::/srv:/bin/sh
nohome:x:40:40:::/bin/sh
huge:x:4294967296:0::/:/bin/sh
negative:x:-1:0::/:/bin/sh
`

const group = `root:x:0:
audio:x:29:web
video:x:44:web,root
hugegroup:x:4294967296:
`

func rootfs(t *testing.T, files map[string]string) *os.File {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestResolveUser(t *testing.T) {
	root := rootfs(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
	for _, c := range []struct {
		user   string
		groups []string
		want   specs.User
		home   string
		err    string
	}{
		{user: "", want: specs.User{AdditionalGids: []uint32{0, 44}}, home: "/root"},
		{user: "web", want: specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{34, 29, 44}}, home: "/srv"},
		{user: "web:video", want: specs.User{UID: 33, GID: 44, AdditionalGids: []uint32{44}}, home: "/srv"},
		{user: "33", want: specs.User{UID: 33, GID: 34, AdditionalGids: []uint32{34, 29, 44}}, home: "/srv"},
		{user: "1000:1001", groups: []string{"audio", "5"}, want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 5, 29}}, home: "/"},
		{user: "nohome", want: specs.User{UID: 40, GID: 40, AdditionalGids: []uint32{40}}, home: "/"},
		{user: "x", err: "unable to find user x: no matching entries in passwd file"},
		{user: "web:x", err: "unable to find group x: no matching entries in group file"},
		{user: "web", groups: []string{"x"}, err: "unable to find group x: no matching entries in group file"},
		{user: "web", groups: []string{""}, err: "unable to find group : no matching entries in group file"},
		{user: "4294967296", err: "uids and gids must be in range 0-2147483647"},
		{user: "huge", err: "uids and gids must be in range 0-2147483647"},
		{user: "negative", err: "uids and gids must be in range 0-2147483647"},
		{user: "web:hugegroup", err: "uids and gids must be in range 0-2147483647"},
	} {
		got, home, err := spec.ResolveUser(root, c.user, c.groups)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%q %q: got %v, want %s", c.user, c.groups, err, c.err)
			}
			continue
		}
		if err != nil || home != c.home || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q %q: got %+v, %q, %v", c.user, c.groups, got, home, err)
		}
	}
}

func TestResolveUserNeedsNoFiles(t *testing.T) {
	got, home, err := spec.ResolveUser(rootfs(t, nil), "5:6", nil)
	if err != nil || got.UID != 5 || got.GID != 6 || home != "/" {
		t.Errorf("got %+v, %q, %v", got, home, err)
	}
}

func TestResolveUserReadsInsideTheRoot(t *testing.T) {
	root := rootfs(t, map[string]string{"real/passwd": "inside:x:7:7::/in:/bin/sh\n"})
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("outside:x:0:0::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/real", filepath.Join(root.Name(), "etc")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := spec.ResolveUser(root, "inside", nil); err != nil || got.UID != 7 {
		t.Errorf("a link inside: got %+v, %v", got, err)
	}
	_ = os.Remove(filepath.Join(root.Name(), "real/passwd"))
	if err := os.Symlink(outside, filepath.Join(root.Name(), "real/passwd")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := spec.ResolveUser(root, "outside", nil); err == nil {
		t.Error("the host's file was read")
	}
}

func TestResolveUserSurvivesHostileFiles(t *testing.T) {
	root := rootfs(t, map[string]string{"etc/group": group})
	fifo := filepath.Join(root.Name(), "etc/passwd")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := spec.ResolveUser(root, "web", nil); err == nil {
		t.Error("a FIFO was taken for a passwd file")
	}
	if err := os.Remove(fifo); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(fifo, 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, _, err := spec.ResolveUser(root, "web", nil); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file of a terabyte: %v", err)
	}
}

func TestResolveUserBoundsGroups(t *testing.T) {
	var many strings.Builder
	for i := range 70000 {
		fmt.Fprintf(&many, "g%d:x:%d:web\n", i, i+1)
	}
	root := rootfs(t, map[string]string{"etc/passwd": passwd, "etc/group": many.String()})
	if _, _, err := spec.ResolveUser(root, "web", nil); err == nil {
		t.Error("70000 groups were accepted")
	}
}

func FuzzResolveUser(f *testing.F) {
	f.Add(passwd, group, "web:video", "audio")
	f.Add("\x00:x:1:1:::\n", "::::\n", "", "")
	f.Fuzz(func(t *testing.T, passwd, group, user, add string) {
		root := rootfs(t, map[string]string{"etc/passwd": passwd, "etc/group": group})
		got, home, err := spec.ResolveUser(root, user, []string{add})
		if err != nil {
			return
		}
		if strings.ContainsRune(home, 0) || home == "" {
			t.Errorf("home is %q", home)
		}
		for _, id := range append(got.AdditionalGids, got.UID, got.GID) {
			if id > 1<<31-1 {
				t.Errorf("id %d", id)
			}
		}
	})
}
