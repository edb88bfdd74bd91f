package container

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// A legacy link lets a container on the default bridge find another one by an alias, in its hosts file and environment. The record has
// links as "ID:alias"; links on networks of users are the network room's.

// settleLinks turns the names in links to IDs, so that they outlive a renaming. Errors: invalid argument.
func (s *records) settleLinks(h *container.HostConfig) error {
	if len(h.Links) == 0 || h.NetworkMode.IsUserDefined() {
		return nil
	}
	settled := make([]string, 0, len(h.Links))
	for _, link := range h.Links {
		name, alias, err := parseLink(link)
		if err != nil {
			return err
		}
		if h.NetworkMode.IsHost() || h.NetworkMode.IsContainer() {
			return invalid("conflicting options: " + modeWord(h.NetworkMode) + " type networking can't be used with links. This would result in undefined behavior")
		}
		child, err := s.Get(name)
		if err != nil {
			return invalid(fmt.Sprintf("could not get container for %s: %v", name, err))
		}
		if child.Record().HostConfig.NetworkMode.IsHost() {
			return invalid("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
		}
		settled = append(settled, child.id+":"+alias)
	}
	h.Links = settled
	return nil
}

func modeWord(m container.NetworkMode) string {
	if m.IsHost() {
		return "host"
	}
	return "container"
}

// parseLink reads "name:alias" and "name", and what inspect shows: "/name:/parent/alias".
func parseLink(link string) (name, alias string, err error) {
	if link == "" {
		return "", "", invalid("empty string specified for links")
	}
	parts := strings.Split(link, ":")
	if len(parts) > 2 {
		return "", "", invalid("bad format for links: " + link)
	}
	name = strings.TrimPrefix(parts[0], "/")
	if len(parts) == 1 || parts[1] == "" {
		return name, path.Base(name), nil
	}
	return name, path.Base(parts[1]), nil
}

// linked is a container that a link leads to.
type linked struct {
	alias string
	child *record.Container
}

// links are where the links of a container lead; those to containers that are gone lead nowhere.
func (s *records) links(h *container.HostConfig) []linked {
	if h.NetworkMode.IsUserDefined() {
		return nil
	}
	var out []linked
	for _, link := range h.Links {
		id, alias, err := parseLink(link)
		if err != nil {
			continue
		}
		if c, err := s.Get(id); err == nil {
			out = append(out, linked{alias, c.Record()})
		}
	}
	return out
}

// linkHosts are lines of a hosts file, as NAMES:IP. Errors: invalid argument (a container that links cannot lead to).
func (s *records) linkHosts(r *record.Container) ([]string, error) {
	var out []string
	for _, l := range s.links(r.HostConfig) {
		if !l.child.Up() {
			return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("Cannot link to a non running container: /%s AS /%s/%s", l.child.Name, r.Name, l.alias))
		}
		e := l.child.Networks[network.NetworkBridge]
		if e == nil || !e.IPAddress.IsValid() {
			return nil, invalid(fmt.Sprintf("Cannot link to /%s, as it does not belong to the default network", l.child.Name))
		}
		names := l.alias + " " + l.child.Config.Hostname
		if l.alias != l.child.Name {
			names += " " + l.child.Name
		}
		out = append(out, names+":"+e.IPAddress.String())
	}
	return out, nil
}

// linkEnv are the variables that links bring.
func (s *records) linkEnv(r *record.Container) []string {
	var out []string
	for _, l := range s.links(r.HostConfig) {
		if e := l.child.Networks[network.NetworkBridge]; l.child.Up() && e != nil {
			out = append(out, linkVariables("/"+r.Name+"/"+l.alias, l.alias, e.IPAddress.String(), l.child.Config)...)
		}
	}
	return out
}

// linkVariables describe a container's ports and environment, as dockerd's "Legacy container links" are documented.
func linkVariables(name, alias, ip string, child *container.Config) []string {
	prefix := strings.ReplaceAll(strings.ToUpper(alias), "-", "_")
	ports := slices.SortedFunc(maps.Keys(child.ExposedPorts), func(a, b network.Port) int {
		return cmp.Or(cmp.Compare(a.Num(), b.Num()), strings.Compare(string(b.Proto()), string(a.Proto()))) // udp before tcp
	})
	var out []string
	if first := slices.IndexFunc(ports, func(p network.Port) bool { return p.Proto() == network.TCP }); first >= 0 {
		out = append(out, fmt.Sprintf("%s_PORT=tcp://%s:%d", prefix, ip, ports[first].Num()))
	} else if len(ports) > 0 {
		out = append(out, fmt.Sprintf("%s_PORT=%s://%s:%d", prefix, ports[0].Proto(), ip, ports[0].Num()))
	}
	for _, p := range ports {
		key := fmt.Sprintf("%s_PORT_%d_%s", prefix, p.Num(), strings.ToUpper(string(p.Proto())))
		out = append(out, fmt.Sprintf("%s=%s://%s:%d", key, p.Proto(), ip, p.Num()), key+"_ADDR="+ip,
			fmt.Sprintf("%s_PORT=%d", key, p.Num()), fmt.Sprintf("%s_PROTO=%s", key, p.Proto()))
	}
	out = append(out, prefix+"_NAME="+name)
	for _, e := range child.Env {
		key, value, ok := strings.Cut(e, "=")
		if ok && key != "HOME" && key != "PATH" {
			out = append(out, prefix+"_ENV_"+key+"="+value)
		}
	}
	return out
}

// shownLinks are the links as inspect has them.
func (s *records) shownLinks(r *record.Container) []string {
	if r.HostConfig.NetworkMode.IsUserDefined() || len(r.HostConfig.Links) == 0 {
		return r.HostConfig.Links
	}
	var out []string
	for _, l := range s.links(r.HostConfig) {
		out = append(out, "/"+l.child.Name+":/"+r.Name+"/"+l.alias)
	}
	return out
}

// tellParents gives the running containers that have links to this one its new address.
func (s *records) tellParents(ctx context.Context, c *Container) {
	for _, parent := range s.index.all() {
		r := parent.Record()
		if !r.Up() || parent == c || !slices.ContainsFunc(s.links(r.HostConfig), func(l linked) bool { return l.child.ID == c.id }) {
			continue
		}
		hosts := slices.Clone(r.HostConfig.ExtraHosts)
		more, err := s.linkHosts(r)
		if err == nil {
			err = s.cfg.Endpoints.SetHosts(ctx, parent.id, append(hosts, more...))
		}
		if err != nil {
			s.cfg.Log.Warn("hosts file of a linking container not updated", "container", parent.id, "link", c.id, "error", err)
		}
	}
}

// removeLink takes the link /parent/alias away, from the parent's next start on. Errors: not found, invalid argument.
func (s *remover) removeLink(ctx context.Context, ref string) error {
	parent, alias, ok := strings.Cut(strings.Trim(ref, "/"), "/")
	if !ok {
		return errdefs.ErrConflict.WithMessage("Conflict, cannot remove the default link name of the container")
	}
	c, err := s.locked(ctx, parent)
	if err != nil {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("Cannot get parent /%s for link /%s/%s", parent, parent, alias))
	}
	defer c.unlock()
	host := *c.Record().HostConfig
	kept := slices.DeleteFunc(slices.Clone(host.Links), func(l string) bool { _, a, _ := parseLink(l); return a == alias })
	if len(kept) == len(host.Links) {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("No such link: /%s/%s", parent, alias))
	}
	host.Links = kept
	return s.amend(c, func(r *record.Container) { r.HostConfig = &host })
}
