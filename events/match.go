package events

import (
	"slices"
	"strings"

	"gantry/internal/filter"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
)

// actorTypes have a filter of their own name, for the ID or the name of an actor.
func actorTypes() [9]events.Type {
	return [...]events.Type{
		events.ContainerEventType, events.VolumeEventType, events.NetworkEventType, events.DaemonEventType, events.PluginEventType,
		events.NodeEventType, events.ServiceEventType, events.SecretEventType, events.ConfigEventType,
	}
}

// matches applies the filters as dockerd does: a filter that it does not know matches everything.
func (q Query) matches(m *events.Message) bool {
	if !q.Since.IsZero() && m.TimeNano < q.Since.UnixNano() || !q.Until.IsZero() && m.TimeNano > q.Until.UnixNano() {
		return false
	}
	if len(q.Filters) == 0 {
		return true
	}
	if !q.Filters.Exact("type", string(m.Type)) || !q.Filters.Exact("scope", m.Scope) || !matchesAction(q.Filters, string(m.Action)) {
		return false
	}
	for _, t := range actorTypes() {
		key := string(t)
		if !q.Filters.Prefix(key, m.Actor.ID) && !q.Filters.Prefix(key, m.Actor.Attributes["name"]) {
			return false
		}
	}
	return matchesImage(q.Filters, m) && q.Filters.Labels("label", m.Actor.Attributes)
}

// matchesAction compares whole actions, but takes those that have words of the event's own behind a colon by what is
// before it, once one of them is asked for.
func matchesAction(f filter.Args, action string) bool {
	open := func(v string) bool {
		return v == string(events.ActionHealthStatus) || v == string(events.ActionExecCreate) || v == string(events.ActionExecStart)
	}
	if slices.ContainsFunc(f.Get("event"), open) {
		return f.Prefix("event", action)
	}
	return f.Exact("event", action)
}

// matchesImage compares the image's ID and name, with and without its tag. Events of containers tell their image, too.
func matchesImage(f filter.Args, m *events.Message) bool {
	if !f.Has("image") {
		return true
	}
	name := m.Actor.Attributes["image"]
	if m.Type == events.ImageEventType {
		name = m.Actor.Attributes["name"]
	}
	for _, candidate := range []string{m.Actor.ID, name, withoutTag(m.Actor.ID), withoutTag(name)} {
		if candidate != "" && f.Exact("image", candidate) {
			return true
		}
	}
	return false
}

// withoutTag is the familiar name of a reference: "registry:5000/web:1" is "registry:5000/web".
func withoutTag(s string) string {
	if strings.HasPrefix(s, "sha256:") {
		return s
	}
	ref, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return s
	}
	return reference.FamiliarName(ref)
}
