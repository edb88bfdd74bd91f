package api

import (
	buildtypes "github.com/moby/moby/api/types/build"
)

// routes is the API: every endpoint of the specification, in its order. Of patterns that fit the same path the
// first counts. As in dockerd, most endpoints answer clients of every version.
func (s *Server) routes() []route {
	c := &s.cfg
	e := engine{c}
	box := containers{c.Containers, c.CgroupV2}
	life := lifecycle{c.Containers}
	io := attachments{c.Stdio, s.log}
	watch := watcher{c.Containers, c.Stats}
	files := archives{c.Archive}
	run := execs{c.Exec, s.log}
	img := images{c.Images}
	reg := registries{c.Registries}
	tars := imageArchives{c.Images, reg}
	vol := volumes{c.Volumes}
	net := networks{c.Networks, c.Containers}
	log := journal{c.Events}

	checkpoints := absent("checkpoint and restore")
	build := absent("the builder")
	plugins := absent("plugin management")
	swarm := absent("swarm mode")

	return []route{
		{"GET", "/containers/json", 0, box.list},
		{"POST", "/containers/create", 0, box.create},
		{"POST", "/containers/prune", 0, box.prune},
		{"GET", "/containers/{id}/json", 0, box.inspect},
		{"GET", "/containers/{id}/top", 0, watch.top},
		{"GET", "/containers/{id}/logs", 0, io.logs},
		{"GET", "/containers/{id}/changes", 0, files.changes},
		{"GET", "/containers/{id}/export", 0, files.export},
		{"GET", "/containers/{id}/stats", 0, watch.stats},
		{"POST", "/containers/{id}/resize", 0, io.resize},
		{"POST", "/containers/{id}/start", 0, life.start},
		{"POST", "/containers/{id}/stop", 0, life.stop},
		{"POST", "/containers/{id}/restart", 0, life.restart},
		{"POST", "/containers/{id}/kill", 0, life.kill},
		{"POST", "/containers/{id}/update", 0, box.update},
		{"POST", "/containers/{id}/rename", 0, box.rename},
		{"POST", "/containers/{id}/pause", 0, life.pause},
		{"POST", "/containers/{id}/unpause", 0, life.unpause},
		{"POST", "/containers/{id}/attach", 0, io.attach},
		{"GET", "/containers/{id}/attach/ws", 0, io.attachWebSocket},
		{"POST", "/containers/{id}/wait", 0, watch.wait},
		{"DELETE", "/containers/{id...}", 0, life.remove},
		{"HEAD", "/containers/{id}/archive", 0, files.stat},
		{"GET", "/containers/{id}/archive", 0, files.copyFrom},
		{"PUT", "/containers/{id}/archive", 0, files.copyTo},
		{"POST", "/containers/{id}/exec", 0, run.create},
		{"POST", "/exec/{id}/start", 0, run.start},
		{"POST", "/exec/{id}/resize", 0, run.resize},
		{"GET", "/exec/{id}/json", 0, run.inspect},
		{"GET", "/containers/{id}/checkpoints", 0, checkpoints},
		{"POST", "/containers/{id}/checkpoints", 0, checkpoints},
		{"DELETE", "/containers/{id}/checkpoints/{checkpoint}", 0, checkpoints},

		{"GET", "/images/json", 0, img.list},
		{"POST", "/images/create", 0, tars.create},
		{"GET", "/images/search", 0, reg.search},
		{"POST", "/images/prune", 0, img.prune},
		{"GET", "/images/get", 0, tars.saveMany},
		{"POST", "/images/load", 0, tars.load},
		{"GET", "/images/{name...}/json", 0, img.inspect},
		{"GET", "/images/{name...}/history", 0, img.history},
		{"GET", "/images/{name...}/get", 0, tars.saveOne},
		{"GET", "/images/{name...}/attestations", 55, img.attestations},
		{"POST", "/images/{name...}/push", 0, reg.push},
		{"POST", "/images/{name...}/tag", 0, img.tag},
		{"DELETE", "/images/{name...}", 0, img.remove},
		{"POST", "/commit", 0, box.commit},
		{"GET", "/distribution/{name...}/json", 0, reg.inspect},
		{"POST", "/auth", 0, reg.login},
		{"POST", "/build", 0, build},
		{"POST", "/build/prune", 0, pruned(buildtypes.CachePruneReport{})},
		{"POST", "/build/cancel", 0, build},
		{"POST", "/session", 0, build},
		{"POST", "/grpc", 0, build},

		{"GET", "/info", 0, e.info},
		{"GET", "/version", 0, e.version},
		{"GET", "/_ping", 0, e.ping},
		{"HEAD", "/_ping", 0, e.ping},
		{"GET", "/events", 0, log.events},
		{"GET", "/system/df", 0, e.diskUsage},

		{"GET", "/volumes", 0, vol.list},
		{"POST", "/volumes/create", 0, vol.create},
		{"POST", "/volumes/prune", 0, vol.prune},
		{"GET", "/volumes/{name...}", 0, vol.inspect},
		{"PUT", "/volumes/{name...}", 42, absent("cluster volumes")},
		{"DELETE", "/volumes/{name...}", 0, vol.remove},

		{"GET", "/networks", 0, net.list},
		{"GET", "/networks/", 0, net.list},
		{"GET", "/networks/{id...}", 0, net.inspect},
		{"POST", "/networks/create", 0, net.create},
		{"POST", "/networks/prune", 0, net.prune},
		{"POST", "/networks/{id...}/connect", 0, net.connect},
		{"POST", "/networks/{id...}/disconnect", 0, net.disconnect},
		{"DELETE", "/networks/{id...}", 0, net.remove},

		{"GET", "/plugins", 0, plugins},
		{"GET", "/plugins/privileges", 0, plugins},
		{"POST", "/plugins/pull", 0, plugins},
		{"POST", "/plugins/create", 0, plugins},
		{"GET", "/plugins/{name...}/json", 0, plugins},
		{"DELETE", "/plugins/{name...}", 0, plugins},
		{"POST", "/plugins/{name...}/enable", 0, plugins},
		{"POST", "/plugins/{name...}/disable", 0, plugins},
		{"POST", "/plugins/{name...}/upgrade", 0, plugins},
		{"POST", "/plugins/{name...}/push", 0, plugins},
		{"POST", "/plugins/{name...}/set", 0, plugins},

		{"GET", "/swarm", 0, swarm},
		{"POST", "/swarm/init", 0, swarm},
		{"POST", "/swarm/join", 0, swarm},
		{"POST", "/swarm/leave", 0, swarm},
		{"POST", "/swarm/update", 0, swarm},
		{"GET", "/swarm/unlockkey", 0, swarm},
		{"POST", "/swarm/unlock", 0, swarm},
		{"GET", "/nodes", 0, swarm},
		{"GET", "/nodes/{id}", 0, swarm},
		{"DELETE", "/nodes/{id}", 0, swarm},
		{"POST", "/nodes/{id}/update", 0, swarm},
		{"GET", "/services", 0, swarm},
		{"POST", "/services/create", 0, swarm},
		{"GET", "/services/{id}", 0, swarm},
		{"DELETE", "/services/{id}", 0, swarm},
		{"POST", "/services/{id}/update", 0, swarm},
		{"GET", "/services/{id}/logs", 0, swarm},
		{"GET", "/tasks", 0, swarm},
		{"GET", "/tasks/{id}", 0, swarm},
		{"GET", "/tasks/{id}/logs", 0, swarm},
		{"GET", "/secrets", 0, swarm},
		{"POST", "/secrets/create", 0, swarm},
		{"GET", "/secrets/{id}", 0, swarm},
		{"DELETE", "/secrets/{id}", 0, swarm},
		{"POST", "/secrets/{id}/update", 0, swarm},
		{"GET", "/configs", 0, swarm},
		{"POST", "/configs/create", 0, swarm},
		{"GET", "/configs/{id}", 0, swarm},
		{"DELETE", "/configs/{id}", 0, swarm},
		{"POST", "/configs/{id}/update", 0, swarm},
	}
}
