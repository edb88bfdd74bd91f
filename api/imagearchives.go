package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"gantry/image"

	"github.com/moby/moby/api/types/jsonstream"
)

// imageArchives moves images in and out as tars.
type imageArchives struct {
	svc        *image.Service
	registries registries
}

func (i imageArchives) saveOne(w *response, r *request) error {
	return i.save(w, r, []string{r.name("name")})
}

func (i imageArchives) saveMany(w *response, r *request) error {
	return i.save(w, r, r.query["names"])
}

// save sends a tar. Until its first byte, an error is an ordinary answer.
func (i imageArchives) save(w *response, r *request, refs []string) error {
	platforms, err := platformsSince(r, "platform", 48)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	return i.svc.Save(r.Context(), w, refs, platforms)
}

// load reads a tar; what becomes of it is reported in the body, errors included.
func (i imageArchives) load(w *response, r *request) error {
	platforms, err := platformsSince(r, "platform", 48)
	if err != nil {
		return err
	}
	out := newProgress(w, r.flagOr("quiet", true))
	out.end(i.svc.Load(r.Context(), r.Body, platforms, out.send))
	return nil
}

// create imports a root file system, or pulls an image.
func (i imageArchives) create(w *response, r *request) error {
	source := r.param("fromSrc")
	if source == "" {
		return i.registries.pull(w, r)
	}
	o := image.ImportOptions{Repo: r.param("repo"), Tag: r.param("tag"), Message: r.param("message"), Changes: r.query["changes"]}
	if text := r.param("platform"); text != "" && !r.version.before(32) {
		var err error
		if o.Platform, err = parsePlatform(text); err != nil {
			return err
		}
	}
	out := newProgress(w, false)
	out.end(i.importFrom(r, source, o, out))
	return nil
}

func (i imageArchives) importFrom(r *request, source string, o image.ImportOptions, out *progress) error {
	var tar io.Reader = r.Body
	if source != "-" {
		body, err := download(r.Context(), source, out)
		if err != nil {
			return err
		}
		defer body.Close()
		tar = body
		if o.Message == "" {
			o.Message = "Imported from " + source
		}
	} else if o.Message == "" {
		o.Message = "Imported from -"
	}
	id, err := i.svc.Import(r.Context(), tar, o)
	if err != nil {
		return err
	}
	out.send(jsonstream.Message{Status: id})
	return nil
}

// download gets what docker import was given the address of; without a scheme it is HTTP.
func download(ctx context.Context, source string, out *progress) (io.ReadCloser, error) {
	if !strings.Contains(source, "://") {
		source = "http://" + source
	}
	from, err := url.Parse(source)
	if err != nil || (from.Scheme != "http" && from.Scheme != "https") {
		return nil, invalid("invalid source to import from: %q", source)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return nil, err
	}
	out.send(jsonstream.Message{Status: "Downloading from " + from.Redacted()})
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("download %s: %s", from.Redacted(), resp.Status)
	}
	return resp.Body, nil
}
