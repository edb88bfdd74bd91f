package system

import (
	"net/netip"

	"gantry/config"

	"github.com/moby/moby/api/types/registry"
)

const (
	// indexServer is what clients store credentials of Docker Hub under.
	indexServer = "https://index.docker.io/v1/"
	hub         = "docker.io"
)

// registryConfig is the settings as clients know them. Registries of this host are insecure in any case: 127.0.0.0/8 and ::1.
func registryConfig(r config.Registry) *registry.ServiceConfig {
	out := &registry.ServiceConfig{
		InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		Mirrors:               append([]string{}, r.Mirrors...),
		IndexConfigs: map[string]*registry.IndexInfo{
			hub: {Name: hub, Mirrors: append([]string{}, r.Mirrors...), Secure: true, Official: true},
		},
	}
	for _, entry := range r.Insecure {
		if prefix, err := netip.ParsePrefix(entry); err == nil {
			out.InsecureRegistryCIDRs = append(out.InsecureRegistryCIDRs, prefix.Masked())
			continue
		}
		out.IndexConfigs[entry] = &registry.IndexInfo{Name: entry, Mirrors: []string{}}
	}
	return out
}
