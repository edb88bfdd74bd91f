package config

func fileOptions(c *Config) []option {
	return []option{
		{name: "config-file", arg: "FILE", value: text(&c.File), completion: hintFile, cliOnly: true,
			help: "Read further settings from this JSON file. What it sets cannot be set by a flag, too. An empty file or the null device is no file."},
		{name: "data-root", arg: "DIR", value: text(&c.DataRoot), completion: hintDir,
			help: "Keep images, containers and volumes in this directory."},
		{name: "exec-root", arg: "DIR", value: text(&c.ExecRoot), completion: hintDir,
			help: "Keep what is only good until the next boot in this directory: sockets, network namespaces, the state of running containers."},
		{name: "pidfile", short: "p", arg: "FILE", value: text(&c.Pidfile), completion: hintFile,
			help: "Write the process ID to this file. A daemon does not start while the process that the file names is alive."},
	}
}

func serveOptions(c *Config) []option {
	tls := &c.Serve.TLS
	return []option{
		{name: "host", keys: []string{"hosts"}, short: "H", arg: "URL", value: texts(&c.Serve.Hosts, nil),
			help: "Serve the API there: unix://PATH, tcp://ADDRESS:PORT, or fd:// for sockets that systemd has opened. May be given several times. The default is fd:// when systemd has opened sockets, or else a Unix socket."},
		{name: "docker-socket", value: boolean(&c.dockerSocket), cliOnly: true,
			help: "Serve the API on /var/run/docker.sock, too, where Docker's clients look for it."},
		{name: "group", short: "G", arg: "GROUP", value: text(&c.Serve.Group),
			help: "Let the members of this group use the Unix sockets. They have root's power over this host."},
		{name: "tls", value: boolean(&tls.Enabled),
			help: "Encrypt tcp:// sockets. Implied by --tlsverify. A tcp:// socket without TLS is only opened with --tls=false."},
		{name: "tlsverify", value: boolean(&tls.Verify),
			help: "Encrypt tcp:// sockets, and serve only clients with a certificate that --tlscacert has signed."},
		{name: "tlscacert", arg: "FILE", value: text(&tls.CA), completion: hintFile,
			help: `Trust the clients' certificates that this CA has signed. The default is "ca.pem" in $DOCKER_CERT_PATH, or in ~/.docker.`},
		{name: "tlscert", arg: "FILE", value: text(&tls.Cert), completion: hintFile,
			help: `Certificate of the daemon. The default is "cert.pem" beside the CA's.`},
		{name: "tlskey", arg: "FILE", value: text(&tls.Key), completion: hintFile,
			help: `Key of the certificate. The default is "key.pem" beside the CA's certificate.`},
		{name: "min-api-version", arg: "VERSION", value: checked(&c.Serve.MinAPIVersion, checkAPIVersion),
			help: "Refuse clients that ask for an older version of the API than this one. The default is to serve all of them, from 1.24."},
		{name: "metrics-addr", arg: "ADDRESS:PORT", value: text(&c.Serve.MetricsAddr),
			help: "Serve metrics for Prometheus at /metrics on this TCP address."},
		{name: "experimental", value: boolean(&c.Serve.Experimental),
			help: "Tell clients that experimental features may be used."},
	}
}

func logOptions(c *Config) []option {
	return []option{
		{name: "debug", short: "D", value: boolean(&c.Log.Debug), reloadable: true,
			help: "Log what developers want to know. The same as --log-level debug."},
		{name: "log-level", short: "l", arg: "LEVEL", value: checked(&c.Log.Level, checkLogLevel), choices: []string{"debug", "info", "warn", "error", "fatal"},
			help: "Log messages of this severity and above."},
		{name: "log-format", arg: "FORMAT", value: checked(&c.Log.Format, checkLogFormat), choices: []string{"text", "json"},
			help: "Log lines of KEY=VALUE pairs, or of JSON objects."},
		{name: "raw-logs", value: boolean(&c.Log.Raw),
			help: "Log full timestamps without colours. That is always so; the flag exists because dockerd has it."},
	}
}

func engineOptions(c *Config) []option {
	return []option{
		{name: "live-restore", value: boolean(&c.LiveRestore), reloadable: true,
			help: "Leave containers running when the daemon is stopped. They run on through a crash of the daemon in any case."},
		{name: "shutdown-timeout", arg: "SECONDS", value: seconds{&c.ShutdownTimeout}, reloadable: true,
			help: "When the daemon is stopped, give all containers together this long before they are killed. -1 waits for ever."},
		{name: "label", keys: []string{"labels"}, arg: "KEY=VALUE", value: texts(&c.Labels, checkLabel), reloadable: true,
			help: "Describe this engine in docker info, for programs that choose one. May be given several times."},
		{name: "feature", keys: []string{"features"}, arg: "NAME[=BOOL]", value: switches(&c.Features), reloadable: true,
			help: "Switch a feature on or off. May be given several times."},
		{name: "oom-score-adjust", arg: "NUMBER", value: number(&c.OOMScoreAdjust),
			help: "How readily the kernel kills the daemon when memory runs out, from -1000 (never) to 1000."},
		{name: "validate", value: boolean(&c.Mode.Validate), cliOnly: true,
			help: "Check the configuration, say whether it is good, and exit."},
		{name: "version", short: "v", value: boolean(&c.Mode.Version), cliOnly: true,
			help: "Print the version and exit."},
		{name: "help", short: "h", value: boolean(&c.Mode.Help), cliOnly: true,
			help: "Print this help and exit."},
	}
}

func registryOptions(c *Config) []option {
	r := &c.Registry
	return []option{
		{name: "registry-mirror", keys: []string{"registry-mirrors"}, arg: "URL", value: texts(&r.Mirrors, checkMirror), reloadable: true,
			help: "Ask this mirror of Docker Hub first. May be given several times."},
		{name: "insecure-registry", keys: []string{"insecure-registries"}, arg: "REGISTRY", value: texts(&r.Insecure, checkInsecure), reloadable: true,
			help: "Talk to this registry, HOST[:PORT] or a network as ADDRESS/LENGTH, over plain HTTP or with a certificate that nobody vouches for. May be given several times."},
		{name: "max-concurrent-downloads", arg: "NUMBER", value: number(&r.MaxDownloads), reloadable: true,
			help: "Fetch that many layers at a time."},
		{name: "max-concurrent-uploads", arg: "NUMBER", value: number(&r.MaxUploads), reloadable: true,
			help: "Send that many layers at a time."},
		{name: "max-download-attempts", arg: "NUMBER", value: number(&r.MaxDownloadRetries), reloadable: true,
			help: "Try that many times to fetch a layer."},
		{name: "allow-nondistributable-artifacts", arg: "REGISTRY", value: texts(&r.Nondistributable, nil), reloadable: true,
			help: "Send this registry layers that must not be passed on, too. May be given several times."},
		{name: "http-proxy", arg: "URL", value: text(&c.Proxies.HTTP), secret: true, reloadable: true,
			help: `Use this proxy for HTTP, instead of $HTTP_PROXY. In the file, the three proxy settings may be in a section "proxies".`},
		{name: "https-proxy", arg: "URL", value: text(&c.Proxies.HTTPS), secret: true, reloadable: true,
			help: "Use this proxy for HTTPS, instead of $HTTPS_PROXY."},
		{name: "no-proxy", arg: "LIST", value: text(&c.Proxies.No), reloadable: true,
			help: "Reach these hosts, separated by commas, without a proxy, instead of those in $NO_PROXY."},
	}
}

func storageOptions(c *Config) []option {
	return []option{
		{name: "storage-driver", short: "s", arg: "DRIVER", value: text(&c.Storage.Driver), choices: []string{"overlayfs", "overlay2", "native", "vfs"},
			help: "Keep layers in this way. overlay2 is another name for overlayfs, vfs for native. The default is what the data root holds already, or the best that the host can do."},
		{name: "storage-opt", keys: []string{"storage-opts"}, arg: "KEY=VALUE", value: texts(&c.Storage.Options, nil),
			help: "Set an option of the storage driver. May be given several times."},
	}
}
