package daemon

import (
	"cmp"
	"runtime"

	"gantry/config"
	"gantry/distribution"
	"gantry/image"
	"gantry/internal/version"
	"gantry/storage"
)

func registryConfig(cfg *config.Config, layers *storage.Service, images *image.Service) distribution.Config {
	return distribution.Config{
		Store: layers, Layers: layersForRegistries{layers}, Images: image.Moves{Service: images}, Settings: registrySettings(cfg),
		UserAgent: "docker/" + version.Number + " gantry os/linux arch/" + runtime.GOARCH,
	}
}

// registrySettings are those that can change. A proxy that is not configured is the environment's.
func registrySettings(cfg *config.Config) distribution.Settings {
	r, p := cfg.Registry, cfg.Proxies
	return distribution.Settings{
		Mirrors: r.Mirrors, Insecure: r.Insecure, AllowUploaded: r.Nondistributable,
		MaxDownloads: r.MaxDownloads, MaxUploads: r.MaxUploads, Attempts: r.MaxDownloadRetries,
		HTTP:    cmp.Or(p.HTTP, cfg.Getenv("HTTP_PROXY"), cfg.Getenv("http_proxy")),
		HTTPS:   cmp.Or(p.HTTPS, cfg.Getenv("HTTPS_PROXY"), cfg.Getenv("https_proxy")),
		NoProxy: cmp.Or(p.No, cfg.Getenv("NO_PROXY"), cfg.Getenv("no_proxy")),
	}
}
