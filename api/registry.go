package api

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"gantry/distribution"

	"github.com/containerd/errdefs"
	registrytypes "github.com/moby/moby/api/types/registry"
)

// maxAuth bounds the header X-Registry-Auth, in bytes.
const maxAuth = 64 << 10

// registries moves images between here and registries.
type registries struct{ svc *distribution.Service }

// pull is POST /images/create?fromImage=. Until its first message, an error is an ordinary answer.
func (g registries) pull(w *response, r *request) error {
	credentials, err := credentialsOf(r)
	if err != nil {
		return err
	}
	o := distribution.PullOptions{Credentials: credentials}
	if text := r.param("platform"); text != "" && !r.version.before(32) {
		if o.Platform, err = parsePlatform(text); err != nil {
			return err
		}
	}
	out := newProgress(w, false)
	return g.ended(w, out, g.svc.Pull(r.Context(), r.param("fromImage"), r.param("tag"), o, out.send))
}

// push is POST /images/{name}/push.
func (g registries) push(w *response, r *request) error {
	credentials, err := credentialsOf(r)
	if err != nil {
		return err
	}
	o := distribution.PushOptions{Credentials: credentials}
	if o.Platform, err = platformSince(r, 46); err != nil {
		return err
	}
	out := newProgress(w, false)
	return g.ended(w, out, g.svc.Push(r.Context(), r.name("name"), r.param("tag"), o, out.send))
}

func (g registries) ended(w *response, out *progress, err error) error {
	if w.status == 0 && err != nil {
		return err
	}
	out.end(err)
	return nil
}

// inspect is GET /distribution/{name}/json.
func (g registries) inspect(w *response, r *request) error {
	credentials, err := credentialsOf(r)
	if err != nil {
		return err
	}
	found, err := g.svc.Inspect(r.Context(), r.name("name"), credentials)
	if err != nil {
		return err
	}
	return ok(w, found)
}

// login is POST /auth.
func (g registries) login(w *response, r *request) error {
	var c registrytypes.AuthConfig
	if err := r.decode(w, &c); err != nil {
		return err
	}
	answer, err := g.svc.Login(r.Context(), c)
	if err != nil {
		return err
	}
	return ok(w, answer)
}

// search is GET /images/search.
func (g registries) search(w *response, r *request) error {
	credentials, err := credentialsOf(r)
	if err != nil {
		return err
	}
	filters, err := r.filters()
	if err != nil {
		return err
	}
	limit, _, err := r.number("limit")
	if err != nil {
		return err
	}
	found, err := g.svc.Search(r.Context(), r.param("term"), distribution.SearchOptions{Limit: limit, Filters: filters, Credentials: credentials})
	if err != nil {
		return err
	}
	return writeList(w, found)
}

// credentialsOf reads X-Registry-Auth: base64 of JSON, in the alphabet for URLs or the common one. Errors: invalid argument.
func credentialsOf(r *request) (distribution.Credentials, error) {
	var c distribution.Credentials
	text := strings.TrimRight(r.Header.Get(registrytypes.AuthHeader), "=")
	if text == "" {
		return c, nil
	}
	if len(text) > maxAuth {
		return c, invalid("X-Registry-Auth is longer than %d bytes", maxAuth)
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		data, err = base64.RawStdEncoding.DecodeString(text)
	}
	if err == nil && len(data) > 0 {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return c, errdefs.ErrInvalidArgument.WithMessage("invalid X-Registry-Auth header: " + err.Error())
	}
	return c, nil
}
