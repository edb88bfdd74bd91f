package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"gantry/internal/testkit/imagetar"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// withoutFiles copies a tar and leaves files out.
func withoutFiles(w io.Writer, data []byte, names ...string) error {
	r, out := tar.NewReader(bytes.NewReader(data)), tar.NewWriter(w)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if slices.Contains(names, h.Name) {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, r); err != nil {
			return err
		}
	}
}

// layout collects the blobs of an OCI layout.
type layout struct {
	files map[string][]byte
	index ocispec.Index
}

func newLayout() *layout {
	return &layout{files: map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
}

func (l *layout) blob(mediaType string, data []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	l.files["blobs/sha256/"+d.Digest.Encoded()] = data
	return d
}

func (l *layout) json(mediaType string, v any) ocispec.Descriptor {
	return l.blob(mediaType, must1(json.Marshal(v)))
}

// image adds an image of one file for a platform.
func (l *layout) image(arch, content string) ocispec.Descriptor {
	layer := must1(imagetar.Layer(imagetar.Rootfs{"file": {Data: content}}))
	p := ocispec.Platform{OS: "linux", Architecture: arch}
	config := l.json(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}}})
	d := l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: []ocispec.Descriptor{l.blob(ocispec.MediaTypeImageLayerGzip, gzipped(layer))}})
	d.Platform = &p
	return d
}

// add lists an image in index.json.
func (l *layout) add(d ocispec.Descriptor, name string) {
	if name != "" {
		d.Annotations = map[string]string{images.AnnotationImageName: name}
	}
	l.index.Manifests = append(l.index.Manifests, d)
}

func (l *layout) tar() []byte {
	l.files["index.json"] = must1(json.Marshal(l.index))
	var names []string
	for n := range l.files {
		names = append(names, n)
	}
	slices.Sort(names)
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Size: int64(len(l.files[n])), Mode: 0o644}); err != nil {
			panic(err)
		}
		must1(w.Write(l.files[n]))
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func TestLayoutOfSeveralPlatforms(t *testing.T) {
	l := newLayout()
	amd, arm := l.image("amd64", "amd"), l.image("arm64", "arm")
	missing := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("elsewhere"), Size: 9,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"}}
	statement := l.blob(mediaInToto, []byte(`{"a":1}`))
	statement.Annotations = map[string]string{annotationPredicate: "https://slsa.dev/provenance/v1"}
	note := l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest,
		Config: l.blob("application/vnd.oci.empty.v1+json", []byte("{}")),
		Layers: []ocispec.Descriptor{statement}})
	note.Annotations = map[string]string{annotationKind: attestation, annotationSubject: amd.Digest.String()}
	l.add(l.json(ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{arm, amd, missing, note}}), "docker.io/library/multi:1")
	s := open(t)
	load(t, s, l.tar())
	host := resolve(t, s, "multi:1")
	if fileIn(t, s, "multi:1", "file") != "amd" || host.Manifest.Digest != amd.Digest {
		t.Errorf("not this host's: %+v", host)
	}
	other, err := s.Resolve(t.Context(), "multi:1", &ocispec.Platform{OS: "linux", Architecture: "arm64"})
	must(t, err)
	if other.ID != host.ID || other.Manifest.Digest != arm.Digest {
		t.Errorf("%+v", other)
	}
	if err := s.store.CreateRW(t.Context(), "c", other.Chain, nil); !errdefs.IsNotFound(err) {
		t.Errorf("the other platform should not be unpacked: %v", err)
	}
	must(t, s.Prepare(t.Context(), other), s.store.CreateRW(t.Context(), "c", other.Chain, nil))
	in, err := s.Inspect(t.Context(), "multi:1", InspectOptions{Manifests: true})
	must(t, err)
	var shown []string
	for _, m := range in.Manifests {
		shown = append(shown, fmt.Sprintf("%s %v", m.Kind, m.Available))
	}
	if got := strings.Join(shown, ", "); got != "image true, image true, image false, attestation true" {
		t.Errorf("manifests: %s", got)
	}
	checkAttestation(t, s, "multi:1", statement)
	must(t, s.store.Collect(t.Context()))
	again := open(t)
	load(t, again, save(t, s, "multi:1"))
	if resolve(t, again, "multi:1").ID != host.ID {
		t.Error("saved and loaded, it is another image")
	}
	removed, err := s.Remove(t.Context(), "multi:1", RemoveOptions{Platforms: []ocispec.Platform{{OS: "linux", Architecture: "arm64"}}})
	if err != nil || len(removed) != 1 || removed[0].Deleted != arm.Digest.String() {
		t.Errorf("%v %v", removed, err)
	}
	if _, err := s.Resolve(t.Context(), "multi:1", &ocispec.Platform{OS: "linux", Architecture: "arm64"}); !errdefs.IsNotFound(err) {
		t.Errorf("removed platform: %v", err)
	}
}

// Attack row 9: digest, diff ID and size mismatches, manifest taken for index and back, unknown media types, deep nesting.
func TestHostileArchives(t *testing.T) {
	swap := func(l *layout, d ocispec.Descriptor, data string) {
		l.files["blobs/sha256/"+d.Digest.Encoded()] = []byte(data)
	}
	for name, c := range map[string]struct {
		make func(l *layout)
		want string
	}{
		"blob of another digest": {func(l *layout) { d := l.image("amd64", "1"); swap(l, d, "{}"); l.add(d, "") }, "its digest is"},
		"diff ID": {func(l *layout) {
			config := l.json(ocispec.MediaTypeImageConfig, ocispec.Image{RootFS: ocispec.RootFS{DiffIDs: []digest.Digest{digest.FromString("x")}}})
			layer := l.blob(ocispec.MediaTypeImageLayer, must1(imagetar.Layer(imagetar.Rootfs{"f": {}})))
			l.add(l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}}), "a")
		}, "which the image's config names"},
		"layers without diff IDs": {func(l *layout) {
			config := l.json(ocispec.MediaTypeImageConfig, ocispec.Image{})
			layer := l.blob(ocispec.MediaTypeImageLayer, must1(imagetar.Layer(imagetar.Rootfs{"f": {}})))
			l.add(l.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}}), "a")
		}, "its config names 0 layers"},
		"manifest that is an index": {func(l *layout) {
			d := l.image("amd64", "1")
			l.add(l.json(ocispec.MediaTypeImageManifest, ocispec.Index{Manifests: []ocispec.Descriptor{d}}), "a")
		}, "index and a manifest at once"},
		"index that is a manifest": {func(l *layout) { d := l.image("amd64", "1"); d.MediaType = ocispec.MediaTypeImageIndex; l.add(d, "a") }, "it is a"},
		"unknown media type":       {func(l *layout) { l.add(l.blob("text/plain", []byte("x")), "a") }, "is not an image"},
		"nested indexes": {func(l *layout) {
			d := l.image("amd64", "1")
			for range 10 {
				d = l.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{d}})
			}
			l.add(d, "a")
		}, "nested deeper"},
		"layer that is not there": {func(l *layout) {
			d := l.image("amd64", "1")
			for n := range l.files {
				if strings.HasPrefix(n, "blobs/") && l.files[n][0] == 0x1f {
					delete(l.files, n)
				}
			}
			l.add(d, "a")
		}, "is not in it"},
		"only what is elsewhere": {func(l *layout) {
			l.add(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}, "a")
		}, "no complete image"},
		"bad digest": {func(l *layout) {
			l.add(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:../../../etc/passwd", Size: 1}, "a")
		}, "digest"},
		"huge manifest": {func(l *layout) { d := l.image("amd64", "1"); d.Size = 1 << 40; l.add(d, "a") }, "at most"},
	} {
		l := newLayout()
		c.make(l)
		s := open(t)
		err := s.Load(t.Context(), bytes.NewReader(l.tar()), nil, func(jsonstream.Message) {})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if !errdefs.IsInvalidArgument(err) && !errdefs.IsDataLoss(err) {
			t.Errorf("%s: class of %v", name, err)
		}
		must(t, s.store.Collect(t.Context()))
		if n, err := s.store.Size(t.Context()); n != 0 || err != nil || tags(t, s) != "" {
			t.Errorf("%s: %d bytes are left, images %q, %v", name, n, tags(t, s), err)
		}
	}
}

func TestLoadOfWhatIsNotAnArchive(t *testing.T) {
	s := open(t)
	var empty bytes.Buffer
	must(t, tar.NewWriter(&empty).Close())
	whole := build(t, small("1", "a:1"))
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte(strings.Repeat("no tar at all ", 100)), "empty tar": empty.Bytes(),
		"cut": whole[:len(whole)/2], "cut gzip": gzipped(whole)[:200], "xz": []byte("\xfd7zXZ\x00 whatever"),
	} {
		err := s.Load(t.Context(), bytes.NewReader(data), nil, func(jsonstream.Message) {})
		if err == nil || tags(t, s) != "" {
			t.Errorf("%s: %v, images %q", name, err, tags(t, s))
		}
	}
}

// checkAttestation expects one statement of this host's image, and none of the other platform's.
func checkAttestation(t *testing.T, s *Service, ref string, want ocispec.Descriptor) {
	t.Helper()
	for _, c := range []struct {
		o    AttestationOptions
		want string
	}{
		{AttestationOptions{}, want.Digest.String() + " https://slsa.dev/provenance/v1 <nil>"},
		{AttestationOptions{Statements: true, Predicates: []string{"https://slsa.dev/provenance/v1"}}, want.Digest.String() + ` https://slsa.dev/provenance/v1 {"a":1}`},
		{AttestationOptions{Predicates: []string{"other"}}, ""},
		{AttestationOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}}, ""},
	} {
		list, err := s.Attestations(t.Context(), ref, c.o)
		must(t, err)
		got := ""
		for _, a := range list {
			text := "<nil>"
			if a.Statement != nil {
				text = string(*a.Statement)
			}
			got += fmt.Sprintf("%s %s %s", a.Descriptor.Digest, a.PredicateType, text)
		}
		if got != c.want {
			t.Errorf("%+v: got %q, want %q", c.o, got, c.want)
		}
	}
}
