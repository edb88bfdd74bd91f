package config

func containerOptions(c *Config) []option {
	d := &c.Containers
	return []option{
		{name: "log-driver", arg: "DRIVER", value: text(&d.LogDriver), choices: []string{"json-file", "local", "none"},
			help: "Keep the output of containers in this way, unless they say otherwise."},
		{name: "log-opt", keys: []string{"log-opts"}, arg: "KEY=VALUE", value: pairs(&d.LogOptions),
			help: "Set an option of the log driver. May be given several times."},
		{name: "default-ulimit", keys: []string{"default-ulimits"}, arg: "NAME=SOFT[:HARD]", value: ulimits(&d.Ulimits),
			help: "Give containers this limit. May be given several times."},
		{name: "default-shm-size", arg: "SIZE", value: size(&d.ShmSize), reloadable: true,
			help: "Make /dev/shm of containers this large: a number of bytes, or with k, m or g."},
		{name: "default-ipc-mode", arg: "MODE", value: checked(&d.IpcMode, checkIpcMode), choices: []string{"private", "shareable"}, reloadable: true,
			help: "Whether other containers may join the IPC namespace of a container that does not say."},
		{name: "default-cgroupns-mode", arg: "MODE", value: checked(&d.CgroupnsMode, checkCgroupnsMode), choices: []string{"private", "host"},
			help: "Which cgroup namespace a container has that does not say. The default is private with cgroup version 2, and host with version 1."},
		{name: "cgroup-parent", arg: "CGROUP", value: text(&d.CgroupParent),
			help: "Put containers under this cgroup: a path, or with systemd the name of a slice. The default is docker, or system.slice."},
		{name: "exec-opt", keys: []string{"exec-opts"}, arg: "KEY=VALUE", value: texts(&d.ExecOptions, checkExecOption),
			choices: []string{cgroupDriver + "=cgroupfs", cgroupDriver + "=systemd"},
			help:    "native.cgroupdriver=systemd lets systemd make the cgroups of containers; native.cgroupdriver=cgroupfs makes them itself."},
		{name: "init", value: boolean(&d.Init),
			help: "Run a small init process in every container that does not say otherwise. It reaps orphans and passes signals on."},
		{name: "init-path", arg: "FILE", value: text(&d.InitPath), completion: hintFile,
			help: "Take this binary for the init process, instead of the one that comes with the daemon."},
		{name: "seccomp-profile", arg: "FILE", value: text(&d.SeccompProfile), completion: hintFile, choices: []string{"builtin", "unconfined"},
			help: "Confine containers by the seccomp profile in this file. unconfined switches that off; the default is the built-in profile."},
		{name: "selinux-enabled", value: boolean(&d.SELinux),
			help: "Label containers and their files for SELinux."},
		{name: "no-new-privileges", value: boolean(&d.NoNewPrivileges),
			help: "Do not let processes of containers gain privileges, by set-user-ID binaries for instance."},
		{name: "cdi-spec-dir", keys: []string{"cdi-spec-dirs"}, arg: "DIR", value: texts(&d.CDISpecDirs, checkAbsolute), completion: hintDir,
			help: "Look for CDI specifications of devices in this directory. May be given several times."},
	}
}

func runtimeOptions(c *Config) []option {
	return []option{
		{name: "add-runtime", keys: []string{"runtimes"}, arg: "NAME=PATH", value: runtimes(&c.Runtimes.Known), reloadable: true,
			help: "Let containers use this OCI runtime by name. crun and runc are found in $PATH. May be given several times."},
		{name: "default-runtime", arg: "NAME", value: text(&c.Runtimes.Default), reloadable: true,
			help: "Use this OCI runtime for containers that do not name one. The default is crun, or runc where there is no crun."},
	}
}

// ignoredOptions have no counterpart in this engine.
func ignoredOptions(c *Config) []option {
	l := &c.Later
	const containerd = "no containerd daemon is involved"
	return []option{
		{name: "containerd", arg: "SOCKET", value: text(&l.ContainerdAddress), ignored: containerd,
			help: "Has no effect: containerd's libraries are built in."},
		{name: "containerd-namespace", arg: "NAME", value: text(&l.ContainerdNamespace), ignored: containerd,
			help: "Has no effect."},
		{name: "containerd-plugins-namespace", keys: []string{"containerd-plugin-namespace", "containerd-plugins-namespace"}, arg: "NAME",
			value: text(&l.ContainerdPluginsNamespace), ignored: containerd, help: "Has no effect."},
		{name: "userland-proxy-path", arg: "FILE", value: text(&c.Network.ProxyPath), completion: hintFile,
			ignored: "ports are forwarded without a helper binary", help: "Has no effect: ports are forwarded without a helper."},
		{name: "ip-forward-no-drop", value: boolean(&c.Network.ForwardNoDrop),
			ignored: "the policy of the host's own forward chain is never changed", help: "Has no effect: the policy of the host's own forward chain is never changed."},
		{keys: []string{"builder"}, value: object(&l.Builder), ignored: "there is no build cache yet",
			help: "Has no effect: there is no build cache yet."},
	}
}

// laterOptions belong to parts that are still to come. Only their defaults are accepted.
func laterOptions(c *Config) []option {
	l := &c.Later
	return []option{
		{name: "authorization-plugin", keys: []string{"authorization-plugins"}, arg: "NAME", value: texts(&l.AuthorizationPlugins, nil), later: "authorization plugins",
			help: "Ask this plugin before a request is served. May be given several times."},
		{name: "userns-remap", arg: "USER[:GROUP]", value: text(&l.UsernsRemap), later: "user namespaces for all containers",
			help: "Run containers in a user namespace, with the subordinate IDs of this user and group."},
		{name: "rootless", value: boolean(&l.Rootless), later: "rootless mode",
			help: "Run without the privileges of root."},
		{name: "cpu-rt-period", arg: "MICROSECONDS", value: number64(&l.CPURealtimePeriod), later: "real-time scheduling of a parent cgroup",
			help: "Period of the real-time budget of all containers."},
		{name: "cpu-rt-runtime", arg: "MICROSECONDS", value: number64(&l.CPURealtimeRuntime), later: "real-time scheduling of a parent cgroup",
			help: "Real-time budget of all containers in a period."},
		{name: "nri-opts", arg: "KEY=VALUE", value: pairs(&l.NRI), later: "the Node Resource Interface",
			help: "Set an option of the Node Resource Interface. May be given several times."},
		{name: "node-generic-resource", keys: []string{"node-generic-resources"}, arg: "KEY=VALUE", value: texts(&l.GenericResources, nil), later: "swarm mode",
			help: "Offer this resource to the swarm. May be given several times."},
		{name: "swarm-default-advertise-addr", arg: "ADDRESS", value: text(&l.SwarmAdvertiseAddr), later: "swarm mode",
			help: "Tell other nodes of a swarm this address or interface."},
		{name: "network-control-plane-mtu", arg: "BYTES", value: number(&c.Network.ControlMTU), later: "swarm mode",
			help: "Send packets of at most this size between the nodes of a swarm."},
	}
}
