package spec

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"

	"gantry/internal/inroot"

	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// maxUserFile bounds passwd and group files: they come with the image.
	maxUserFile = 10 << 20
	// maxGroups is NGROUPS_MAX, setgroups(2).
	maxGroups = 65536
)

// ResolveUser finds the IDs of "user", "uid", "user:group" and so on in root's etc/passwd and
// etc/group, with the groups that the user is in and those of groups added; "" is root. Home is the
// user's, "/" if nothing is known. Numbers need no entry. Errors: invalid argument, in dockerd's words.
func ResolveUser(root *os.File, spec string, groups []string) (specs.User, string, error) {
	passwd, err := userFile(root, "etc/passwd")
	if err != nil {
		return specs.User{}, "", err
	}
	group, err := userFile(root, "etc/group")
	if err != nil {
		return specs.User{}, "", err
	}
	return resolveUser(passwd, group, spec, groups)
}

// userFile reads one of the two files; an image may well have none.
func userFile(root *os.File, name string) ([]byte, error) {
	data, err := inroot.ReadFile(root, name, maxUserFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, invalid("%s", err)
	}
	return data, nil
}

func resolveUser(passwd, group []byte, spec string, groups []string) (specs.User, string, error) {
	found, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return specs.User{}, "", invalid("%s", err)
	}
	if slices.Contains(groups, "") {
		return specs.User{}, "", invalid("unable to find group : %s", user.ErrNoGroupEntries)
	}
	added, err := user.GetAdditionalGroups(groups, bytes.NewReader(group))
	if err != nil {
		return specs.User{}, "", invalid("%s", err)
	}
	slices.Sort(added) // they come from a map
	out := specs.User{}
	if out.UID, err = id(found.Uid); err != nil {
		return specs.User{}, "", err
	}
	if out.GID, err = id(found.Gid); err != nil {
		return specs.User{}, "", err
	}
	// The own group is among the additional ones, so that nobody gains rights by leaving it (CVE-2022-36109).
	out.AdditionalGids = []uint32{out.GID}
	for _, g := range slices.Concat(found.Sgids, added) {
		gid, err := id(g)
		if err != nil {
			return specs.User{}, "", err
		}
		out.AdditionalGids = append(out.AdditionalGids, gid)
	}
	slices.Sort(out.AdditionalGids[1:])
	out.AdditionalGids = unique(out.AdditionalGids)
	if len(out.AdditionalGids) > maxGroups {
		return specs.User{}, "", invalid("user %s is in %d groups, more than the %d that Linux allows", spec, len(out.AdditionalGids), maxGroups)
	}
	home, err := cleanHome(found.Home)
	return out, home, err
}

// id refuses a number that would be another one in 32 bits: 4294967296 is not root.
func id(n int) (uint32, error) {
	if n < 0 || n > math.MaxInt32 {
		return 0, invalid("%s", user.ErrRange)
	}
	return uint32(n), nil
}

func unique(gids []uint32) []uint32 {
	seen := map[uint32]bool{}
	return slices.DeleteFunc(gids, func(g uint32) bool {
		again := seen[g]
		seen[g] = true
		return again
	})
}

// cleanHome refuses what cannot be the value of a variable.
func cleanHome(home string) (string, error) {
	if slices.Contains([]byte(home), 0) {
		return "", invalid("invalid home directory in passwd file: %q", home)
	}
	if home == "" {
		return "/", nil
	}
	return home, nil
}
