package api

import (
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"gantry/container/archive"

	containertypes "github.com/moby/moby/api/types/container"
)

// archives copies files out of and into containers.
type archives struct{ svc *archive.Service }

// statHeader carries the description of a path beside the tar of it.
const statHeader = "X-Docker-Container-Path-Stat"

func (a archives) stat(w *response, r *request) error {
	path, err := wantedPath(r)
	if err != nil {
		return err
	}
	found, err := a.svc.Stat(r.Context(), r.id(), path)
	if err != nil {
		return err
	}
	return setStat(w, found)
}

func setStat(w http.ResponseWriter, s *containertypes.PathStat) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	w.Header().Set(statHeader, base64.StdEncoding.EncodeToString(text))
	return nil
}

func wantedPath(r *request) (string, error) {
	path := r.param("path")
	if path == "" {
		return "", invalid("bad parameter: path cannot be empty")
	}
	return path, nil
}

func (a archives) copyFrom(w *response, r *request) error {
	path, err := wantedPath(r)
	if err != nil {
		return err
	}
	tar, found, err := a.svc.CopyFrom(r.Context(), r.id(), path)
	if err != nil {
		return err
	}
	defer tar.Close()
	if err := setStat(w, found); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	return copyCompressed(w, r, tar)
}

// copyCompressed sends a body in the encoding that the client asks for, plain if it asks for none.
func copyCompressed(w *response, r *request, from io.Reader) error {
	var to io.Writer = w
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(quality) == "q=0" {
			continue
		}
		var compressor io.WriteCloser
		switch name {
		case "gzip":
			compressor = gzip.NewWriter(w)
		case "deflate":
			compressor, _ = flate.NewWriter(w, flate.DefaultCompression)
		default:
			continue
		}
		w.Header().Set("Content-Encoding", name)
		if _, err := io.Copy(compressor, from); err != nil {
			return err
		}
		return compressor.Close()
	}
	w.WriteHeader(http.StatusOK)
	_, err := io.Copy(to, from)
	return err
}

func (a archives) copyTo(w *response, r *request) error {
	path, err := wantedPath(r)
	if err != nil {
		return err
	}
	return a.svc.CopyTo(r.Context(), r.id(), path, r.Body, archive.CopyToOptions{
		NoOverwriteDirNonDir: r.flag("noOverwriteDirNonDir"), CopyUIDGID: r.flag("copyUIDGID"),
	})
}

func (a archives) export(w *response, r *request) error {
	tar, err := a.svc.Export(r.Context(), r.id())
	if err != nil {
		return err
	}
	defer tar.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.WriteHeader(http.StatusOK)
	_, err = io.Copy(w, tar)
	return err
}

func (a archives) changes(w *response, r *request) error {
	changes, err := a.svc.Changes(r.Context(), r.id())
	if err != nil {
		return err
	}
	return writeList(w, changes)
}
