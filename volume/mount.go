package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	apievents "github.com/moby/moby/api/types/events"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mounter mounts volumes for their users.
type mounter struct{ *store }

// Mount makes a volume's data available at the returned host path for a user (a container ID);
// Unmount undoes it when the last user is gone. Both publish the volume's mount and unmount
// events. A user may mount it several times, and unmounts it as often. What an earlier process mounted is found and used. Errors: not found.
func (s *mounter) Mount(ctx context.Context, name, user string) (path string, err error) {
	done, err := s.turns.take(ctx, name)
	if err != nil {
		return "", err
	}
	defer done()
	e, err := s.local(name)
	if err != nil {
		return "", err
	}
	path = s.data(name)
	if e.mount.needed() {
		mounted, err := mountinfo.Mounted(path)
		if err == nil && !mounted {
			err = e.mount.do(path)
		}
		if err != nil {
			return "", fmt.Errorf("error while mounting volume '%s': %w", path, err)
		}
	}
	s.mu.Lock()
	if e.users == nil {
		e.users = map[string]int{}
	}
	e.users[user]++
	s.mu.Unlock()
	s.publish(apievents.ActionMount, e, map[string]string{"container": user})
	return path, nil
}

// Unmount of a user who has not mounted it changes nothing.
func (s *mounter) Unmount(ctx context.Context, name, user string) error {
	done, err := s.turns.take(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	e, err := s.local(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	count := e.users[user]
	if count > 1 {
		e.users[user]--
	} else {
		delete(e.users, user)
	}
	last := len(e.users) == 0
	s.mu.Unlock()
	if count == 0 {
		return nil
	}
	if last {
		err = s.unmount(e)
	}
	s.publish(apievents.ActionUnmount, e, map[string]string{"container": user})
	return err
}

// Reconcile unmounts what an earlier process mounted and nobody has mounted since. Call it once, when the containers are restored.
func (s *mounter) Reconcile(ctx context.Context) error {
	var all []error
	for _, name := range s.names() {
		done, err := s.turns.take(ctx, name)
		if err != nil {
			return err
		}
		if e, err := s.local(name); err == nil && e.mount.needed() && !s.used(e) {
			slog.DebugContext(ctx, "unmounting volume that no container uses", "volume", name)
			all = append(all, s.unmount(e))
		}
		done()
	}
	return errors.Join(all...)
}

func (s *mounter) used(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(e.users) > 0
}

// unmount is lazy: a container that still runs has a mount of its own.
func (s *mounter) unmount(e *entry) error {
	if !e.mount.needed() {
		return nil
	}
	err := unix.Unmount(s.data(e.name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err == unix.EINVAL || err == nil { // EINVAL: nothing is mounted there
		return nil
	}
	return fmt.Errorf("error while unmounting volume '%s': %w", s.data(e.name), err)
}

// local returns the volume of a name, which must be the local driver's.
func (s *mounter) local(name string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[name]
	switch {
	case e == nil:
		return nil, noSuchVolume(name)
	case e.driver != localDriver:
		return nil, noSuchDriver("get", name, e.driver)
	}
	return e, nil
}
