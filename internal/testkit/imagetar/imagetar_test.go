package imagetar

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"testing"
)

func TestBusyboxIsADockerSaveArchive(t *testing.T) {
	files := map[string][]byte{}
	r := tar.NewReader(bytes.NewReader(Busybox(t)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || manifest[0].RepoTags[0] != "busybox:latest" {
		t.Fatalf("manifest %+v", manifest)
	}
	if files[manifest[0].Config] == nil || files[manifest[0].Layers[0]] == nil {
		t.Fatal("manifest names files that are not in the archive")
	}
}

func TestEqualImagesHaveEqualBytes(t *testing.T) {
	build := func() []byte {
		data, err := Build(Image{Tags: []string{"a:b"}, Layers: []Rootfs{{"/x/y": {Data: "1"}, "x/z": {Link: "x/y"}}}})
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if !bytes.Equal(build(), build()) {
		t.Fatal("two builds differ")
	}
}
