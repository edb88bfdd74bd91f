package testkit

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"sync"

	"gantry/internal/testkit/imagetar"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// BusyboxName is the reference of the image that LoadBusybox loads.
const BusyboxName = "busybox"

// busyboxRootfs is read once a process. It has a user "web" (1000, also in groups audio and staff) beside the usual ones.
var busyboxRootfs = sync.OnceValues(func() (imagetar.Rootfs, error) {
	binary, err := os.ReadFile(imagetar.BusyboxPath)
	if err != nil {
		return nil, fmt.Errorf("install busybox-static: %w", err)
	}
	files := imagetar.BusyboxRootfs(binary)
	files["etc/passwd"] = imagetar.File{Data: files["etc/passwd"].Data + "web:x:1000:1000::/home/web:/bin/sh\n"}
	files["etc/group"] = imagetar.File{Data: "root:x:0:\ndaemon:x:1:\ntty:x:5:\naudio:x:29:web\nstaff:x:50:web\nweb:x:1000:\n"}
	for _, applet := range []string{"httpd", "ulimit", "mountpoint", "losetup", "arping", "telnet"} {
		files["bin/"+applet] = imagetar.File{Link: "bin/busybox"}
	}
	for name, file := range files {
		if file.Link != "" {
			file.Mode = 0o755 // dockerd gives the inode the mode of its last link
			files[name] = file
		}
	}
	return files, nil
})

// Busybox is busybox under another name, with another configuration, and with further layers.
func Busybox(tag string, change func(*dockerspec.DockerOCIImageConfig), layers ...imagetar.Rootfs) (imagetar.Image, error) {
	files, err := busyboxRootfs()
	if err != nil {
		return imagetar.Image{}, err
	}
	image := imagetar.BusyboxImage(nil, tag)
	image.Layers = append([]imagetar.Rootfs{maps.Clone(files)}, layers...)
	if change != nil {
		change(&image.Config)
	}
	return image, nil
}

// LoadBusybox gives the engine busybox:latest, made from Debian's busybox-static.
func (e *Engine) LoadBusybox() error {
	image, err := Busybox("busybox:latest", nil)
	if err != nil {
		return err
	}
	archive, err := imagetar.Build(image)
	if err != nil {
		return err
	}
	return e.Load(bytes.NewReader(archive))
}

// Load gives the engine the images of an archive.
func (e *Engine) Load(archive io.Reader) error {
	ctx, cancel := contextWithTimeout()
	defer cancel()
	resp, err := e.client.ImageLoad(ctx, archive)
	if err != nil {
		return err
	}
	defer resp.Close()
	out, err := io.ReadAll(resp)
	if err == nil && bytes.Contains(out, []byte(`"error"`)) {
		err = fmt.Errorf("load image: %s", out)
	}
	return err
}

// LoadBusybox is that of the engine; the test fails if it does.
func (s *Session) LoadBusybox() {
	s.T.Helper()
	if err := s.Engine.LoadBusybox(); err != nil {
		s.T.Fatal(err)
	}
}

// LoadImage loads busybox with another configuration and further layers, and returns its unique name. It is
// removed when the test ends.
func (s *Session) LoadImage(prefix string, change func(*dockerspec.DockerOCIImageConfig), layers ...imagetar.Rootfs) string {
	s.T.Helper()
	name := s.Image(prefix)
	image, err := Busybox(name+":latest", change, layers...)
	if err != nil {
		s.T.Fatal(err)
	}
	archive, err := imagetar.Build(image)
	if err != nil {
		s.T.Fatal(err)
	}
	if err := s.Load(bytes.NewReader(archive)); err != nil {
		s.T.Fatal(err)
	}
	return name
}

// LoadEchoServer loads busybox with a server that answers on TCP and UDP port 5000, as its command.
func (s *Session) LoadEchoServer() string {
	s.T.Helper()
	path, err := tool("internal/testkit/echoserver")
	if err != nil {
		s.T.Fatal(err)
	}
	binary, err := os.ReadFile(path)
	if err != nil {
		s.T.Fatal(err)
	}
	return s.LoadImage("echo", func(c *dockerspec.DockerOCIImageConfig) {
		c.Cmd = []string{"/echoserver"}
		c.ExposedPorts = map[string]struct{}{"5000/tcp": {}, "5000/udp": {}}
	}, imagetar.Rootfs{"echoserver": {Data: string(binary), Mode: 0o755}})
}
