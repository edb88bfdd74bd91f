package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gantry/internal/atomicfile"
	"gantry/network/sandbox"

	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// randomEnv is the seed of the process that works at random until it is killed; crashEnv is its directory.
const randomEnv = "GANTRY_NETWORK_TEST_RANDOM"

// recorded is what the container room keeps of one, in a file.
type recorded struct {
	Request Request
	Sandbox Sandbox
	Running bool
}

func (r recorded) save(dir string) error {
	data, err := json.Marshal(r)
	if err == nil {
		err = atomicfile.WriteVolatile(filepath.Join(dir, r.Request.ContainerID), data, 0o600)
	}
	return err
}

func loadRecorded(dir string) (out []recorded, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		var r recorded
		if json.Unmarshal(data, &r) != nil || r.Request.ContainerID != e.Name() {
			continue // a temporary file
		}
		out = append(out, r)
	}
	return out, err
}

// reopen is the start of a daemon: containers that run are adopted, what nobody claims is removed.
func reopen(ctx context.Context, dir string) (*Service, []recorded, error) {
	s, err := Open(ctx, crashConfig(dir))
	if err != nil {
		return nil, nil, err
	}
	all, err := loadRecorded(filepath.Join(dir, "containers"))
	var running []recorded
	for _, r := range all {
		if !r.Running {
			err = errors.Join(err, os.Remove(filepath.Join(dir, "containers", r.Request.ContainerID)))
			continue
		}
		now, adoptErr := s.Adopt(ctx, r.Request, r.Sandbox)
		if adoptErr != nil {
			err = errors.Join(err, fmt.Errorf("adopt %s: %w", r.Request.ContainerID, adoptErr))
			continue
		}
		r.Sandbox = *now
		err = errors.Join(err, r.save(filepath.Join(dir, "containers")))
		running = append(running, r)
	}
	return s, running, errors.Join(err, s.Settle(ctx))
}

// workAtRandom makes and removes networks, connects and disconnects containers, until it is killed.
func workAtRandom(dir string, seed uint64) int {
	ctx := context.Background()
	s, running, err := reopen(ctx, dir)
	r := rand.New(rand.NewPCG(seed, 7))
	for n := 0; err == nil; n++ {
		err = randomStep(ctx, s, r, dir, fmt.Sprintf("%d-%d", seed, n), &running)
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	return 1
}

func randomStep(ctx context.Context, s *Service, r *rand.Rand, dir, name string, running *[]recorded) error {
	records := filepath.Join(dir, "containers")
	web := fmt.Sprint("web", r.IntN(3))
	switch r.IntN(8) {
	case 0:
		six := r.IntN(2) == 0
		_, err := s.Create(ctx, network.CreateRequest{Name: web, EnableIPv6: &six})
		return ignore(err, "already exists")
	case 1:
		return ignore(s.Remove(ctx, web), "not found", "active endpoints")
	case 2, 3, 4:
		c := recorded{Running: true, Request: Request{ContainerID: name, Name: name, Mode: web, Ports: network.PortMap{network.MustParsePort("80/tcp"): {{}}}}}
		sb, err := s.Connect(ctx, c.Request)
		if err != nil {
			return ignore(err, "not found")
		}
		c.Sandbox = *sb
		*running = append(*running, c)
		return c.save(records)
	}
	if len(*running) == 0 {
		return nil
	}
	i := r.IntN(len(*running))
	c := &(*running)[i]
	if e := c.Sandbox.Endpoints[web]; r.IntN(2) == 0 && e == nil {
		before := c.Sandbox
		c.Sandbox.Endpoints = map[string]*network.EndpointSettings{web: {EndpointID: sandbox.NewID()}}
		for other, e := range before.Endpoints {
			c.Sandbox.Endpoints[other] = e
		}
		if err := c.save(records); err != nil {
			return err
		}
		now, err := s.Attach(ctx, c.Request.ContainerID, web, c.Sandbox.Endpoints[web])
		if err == nil {
			before = *now
		}
		c.Sandbox = before
		return errors.Join(ignore(err, "not found"), c.save(records))
	} else if e != nil && len(c.Sandbox.Endpoints) > 1 {
		c.Sandbox.Endpoints[web] = &network.EndpointSettings{EndpointID: e.EndpointID}
		if err := c.save(records); err != nil {
			return err
		}
		now, err := s.Detach(ctx, c.Request.ContainerID, web)
		if err != nil {
			return err
		}
		c.Sandbox = *now
		return c.save(records)
	}
	c.Running = false
	if err := errors.Join(c.save(records), s.Disconnect(ctx, c.Request.ContainerID), os.Remove(filepath.Join(records, c.Request.ContainerID))); err != nil {
		return err
	}
	*running = slices.Delete(*running, i, i+1)
	return nil
}

// ignore forgives what random work runs into.
func ignore(err error, texts ...string) error {
	for _, text := range texts {
		if err != nil && strings.Contains(err.Error(), text) {
			return nil
		}
	}
	return err
}

// TestNothingIsLostOrSharedByKills kills a process that works at random, again and again: each time, what is on the host is what
// the records say, and no address is used twice.
func TestNothingIsLostOrSharedByKills(t *testing.T) {
	rounds := 8
	if *long {
		rounds = 500
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "containers"), 0o700); err != nil {
		t.Fatal(err)
	}
	addBridge(t, "lab0")
	t.Cleanup(func() {
		removeLink(t, "lab0")
		keys, _ := sandbox.Keys(filepath.Join(dir, "exec", "netns"))
		for _, k := range keys { // of a test that has failed
			_ = sandbox.Clear(k)
		}
	})
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 8))
	t.Logf("seed %d", seed)
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashEnv+"="+dir, fmt.Sprintf("%s=%d", randomEnv, seed+uint64(round)))
		var out strings.Builder
		cmd.Stderr = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(100+r.IntN(150)) * time.Millisecond) // it is killed wherever it is
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }); !ok || status.Signal() != unix.SIGKILL {
			t.Fatalf("round %d: %s", round, out.String())
		}
		s, running, err := reopen(t.Context(), dir)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		s.background.Wait()
		checkHost(t, s, dir, running)
		if round == rounds-1 {
			emptyAll(t, s, running)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("in round %d of seed %d", round, seed)
		}
	}
}

// checkHost compares the host with the records.
func checkHost(t *testing.T, s *Service, dir string, running []recorded) {
	t.Helper()
	var keys, want []string
	used := map[netip.Addr]string{}
	endpoints := 0
	for _, c := range running {
		want = append(want, c.Sandbox.Key)
		for name, e := range c.Sandbox.Endpoints {
			endpoints++
			for _, a := range []netip.Addr{e.IPAddress, e.GlobalIPv6Address} {
				if by := used[a]; a.IsValid() && by != "" {
					t.Errorf("address %s is of %s and of %s in %s", a, by, c.Request.ContainerID, name)
				} else if a.IsValid() {
					used[a] = c.Request.ContainerID
				}
			}
		}
	}
	keys, err := sandbox.Keys(filepath.Join(dir, "exec", "netns"))
	slices.Sort(want)
	slices.Sort(keys)
	if err != nil || !slices.Equal(keys, want) {
		t.Errorf("sandboxes %v, want %v, %v", keys, want, err)
	}
	bridges, veths := countLinks(t, s)
	// The kernel takes its time to destroy a namespace that was let go just before the kill.
	for until := time.Now().Add(deadline); veths > endpoints && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		bridges, veths = countLinks(t, s)
	}
	reserved, inUse := 0, 0
	for _, l := range s.nets {
		for _, sub := range l.subnets {
			n, _ := sub.addresses.Usage()
			inUse += int(n)
			if reserved += 2; sub.Prefix.Addr().Is4() {
				reserved++
			}
		}
	}
	if bridges != len(s.nets)-3 || veths != endpoints || inUse-reserved != len(used) {
		t.Errorf("%d bridges of %d networks, %d veths of %d endpoints, %d addresses in use of %d", bridges, len(s.nets)-3, veths, endpoints, inUse-reserved, len(used))
	}
}

func countLinks(t *testing.T, s *Service) (bridges, veths int) {
	t.Helper()
	all, err := sandbox.Dump(s.host.LinkList)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		switch {
		case l.Type() == "bridge" && strings.HasPrefix(l.Attrs().Name, "br-"):
			bridges++
		case l.Type() == "veth" && strings.HasPrefix(l.Attrs().Name, "veth"):
			veths++
		}
	}
	return bridges, veths
}

// emptyAll takes everything away, and looks whether anything is left.
func emptyAll(t *testing.T, s *Service, running []recorded) {
	t.Helper()
	for _, c := range running {
		if err := s.Disconnect(t.Context(), c.Request.ContainerID); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Prune(t.Context(), nil); err != nil {
		t.Error(err)
	}
	s.background.Wait()
	checkHost(t, s, filepath.Dir(s.cfg.Root), nil)
	if len(s.published) > 0 {
		t.Errorf("still published: %v", s.published)
	}
}
