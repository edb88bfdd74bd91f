package api

import (
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
)

// engine serves what concerns the engine as a whole.
type engine struct {
	cfg *Config
}

// ping is asked by every client first, to agree on a version.
func (e engine) ping(w *response, r *request) error {
	h := w.Header()
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	h.Set("Pragma", "no-cache")
	builder := e.cfg.Builder
	if builder == "" {
		builder = "2"
	}
	h.Set("Builder-Version", builder)
	state := "inactive"
	if e.cfg.Swarm != nil {
		state = e.cfg.Swarm()
	}
	h.Set("Swarm", state)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method == http.MethodHead {
		h.Set("Content-Length", "0")
		return nil
	}
	h.Set("Content-Length", "2")
	_, err := w.Write([]byte("OK"))
	return err
}

func (e engine) version(w *response, r *request) error {
	version, err := e.cfg.System.Version(r.Context())
	if err != nil {
		return err
	}
	return ok(w, version)
}

func (e engine) info(w *response, r *request) error {
	info, err := e.cfg.System.Info(r.Context())
	if err != nil {
		return err
	}
	return ok(w, shapeInfo(info, r.version))
}

// diskUsage is docker system df. The types that may be asked for came with 1.42, verbose with 1.52.
func (e engine) diskUsage(w *response, r *request) error {
	var objects []system.DiskUsageObject
	if !r.version.before(42) {
		for _, name := range r.query["type"] {
			switch o := system.DiskUsageObject(name); o {
			case system.ContainerObject, system.ImageObject, system.VolumeObject, system.BuildCacheObject:
				objects = append(objects, o)
			default:
				return errdefs.ErrInvalidArgument.WithMessage("unknown object type: " + name)
			}
		}
	}
	legacy := r.version.before(52)
	verbose := r.flag("verbose") && !legacy
	// Until 1.52 every object is listed; 1.52 has both forms unless it is asked for the verbose one.
	both := r.version == v(52) && !verbose
	usage, err := e.cfg.System.DiskUsage(r.Context(), objects, verbose || legacy || both)
	if err != nil {
		return err
	}
	return ok(w, shapeDiskUsage(usage, r.version, verbose))
}
