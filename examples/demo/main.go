// Command demo runs the engine once from end to end: it starts a daemon of its own, makes an image of examples/web,
// runs it in a container with a published port, fetches its page, and leaves nothing behind. `make demo` calls it.
//
// The daemon lives in network and mount namespaces of its own, so the host's firewall and mounts are not touched.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"gantry/internal/testkit"
	"gantry/internal/testkit/imagetar"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
)

const (
	image = "gantry-demo:latest"
	port  = "8080"
	// patience is for the page: the server in the container has to begin to listen.
	patience = 5 * time.Second
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "  ✗ %v\n", err)
		os.Exit(1)
	}
}

// show is what the steps share.
type show struct {
	engine *testkit.Engine
	id     string
}

func run(ctx context.Context) (err error) {
	s := &show{}
	defer func() {
		if err != nil && s.engine != nil {
			log := strings.Split(strings.TrimSpace(s.engine.Log()), "\n")
			fmt.Fprintln(os.Stderr, strings.Join(log[max(0, len(log)-15):], "\n"))
			err = errors.Join(err, s.engine.Close())
		}
	}()
	fmt.Println()
	for _, step := range []struct {
		what string
		do   func(context.Context) (string, error)
	}{
		{"start the engine", s.start},
		{"build and load the image", s.load},
		{"create the container", s.create},
		{"start it on the bridge", s.run},
		{"fetch the page", s.fetch},
		{"stop and remove it", s.remove},
		{"stop the engine", s.stop},
	} {
		began := time.Now()
		said, err := step.do(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Printf("  ✓ %-26s %-46s %9s\n", step.what, said, time.Since(began).Round(time.Millisecond/10))
	}
	fmt.Println("\n  Nothing is left: no process, mount, interface, rule, cgroup or file.")
	return nil
}

func (s *show) start(context.Context) (string, error) {
	engine, err := testkit.New(testkit.Options{Engine: "gantryd"})
	if err != nil {
		return "", err
	}
	s.engine = engine
	engine.Baseline()
	return fmt.Sprintf("pid %d, answers after %v", engine.Pid(), engine.Took().Round(time.Millisecond)), nil
}

// load compiles the web server; the static binary is all that is in the image.
func (s *show) load(ctx context.Context) (string, error) {
	binary := filepath.Join(s.engine.Dir, "web")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./examples/web")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	img := imagetar.Image{Tags: []string{image}, Layers: []imagetar.Rootfs{{"web": {Mode: 0o755, Data: string(data)}}}}
	img.Config.Entrypoint = []string{"/web"}
	archive, err := imagetar.Build(img)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %d kB", image, len(data)>>10), s.engine.Load(bytes.NewReader(archive))
}

func (s *show) create(ctx context.Context) (string, error) {
	inside := network.MustParsePort(port + "/tcp")
	made, err := s.engine.Client().ContainerCreate(ctx, client.ContainerCreateOptions{
		Name:   "web",
		Config: &container.Config{Image: image, Hostname: "demo", ExposedPorts: network.PortSet{inside: {}}},
		HostConfig: &container.HostConfig{
			PortBindings: network.PortMap{inside: {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: port}}},
			Resources:    container.Resources{CgroupParent: s.engine.Parent},
		},
	})
	s.id = made.ID
	return "web, " + made.ID[:min(12, len(made.ID))], err
}

func (s *show) run(ctx context.Context) (string, error) {
	_, err := s.engine.Client().ContainerStart(ctx, s.id, client.ContainerStartOptions{})
	return "published at 127.0.0.1:" + port, err
}

func (s *show) fetch(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	web := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return s.engine.Namespaces().Dial(network, address)
		},
	}}
	for {
		title, err := fetchTitle(ctx, &web)
		if err == nil {
			return title, nil
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(time.Millisecond):
		}
	}
}

func fetchTitle(ctx context.Context, web *http.Client) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := web.Do(req)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(body), "<h1>")
	title, _, found := strings.Cut(rest, "</h1>")
	if !found {
		return "", fmt.Errorf("the page has no title: %s", body)
	}
	return fmt.Sprintf("%q", title), nil
}

func (s *show) remove(ctx context.Context) (string, error) {
	c := s.engine.Client()
	if _, err := c.ContainerStop(ctx, s.id, client.ContainerStopOptions{}); err != nil {
		return "", err
	}
	if _, err := c.ContainerRemove(ctx, s.id, client.ContainerRemoveOptions{}); err != nil {
		return "", err
	}
	_, err := c.ImageRemove(ctx, image, client.ImageRemoveOptions{})
	return "container and image", err
}

// stop ends the daemon; what is left of it is an error.
func (s *show) stop(context.Context) (string, error) {
	engine := s.engine
	s.engine = nil
	err := engine.Close()
	testkit.Cleanup()
	return "clean", errors.Join(err, os.RemoveAll(engine.Dir))
}
