package image

import (
	"maps"
	"strconv"

	"gantry/events"

	api "github.com/moby/moby/api/types/events"
)

// journal tells subscribers what happens to images.
type journal struct{ to *events.Journal }

// image publishes an event of the image id, with its labels and the name under which it happened.
func (j journal) image(action api.Action, id, name string, labels map[string]string) {
	if j.to == nil {
		return
	}
	attributes := maps.Clone(labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"] = name
	j.to.Publish(api.ImageEventType, action, api.Actor{ID: id, Attributes: attributes})
}

// pruned publishes that unused images were removed.
func (j journal) pruned(bytes uint64) {
	if j.to != nil {
		j.to.Publish(api.ImageEventType, api.ActionPrune, api.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(bytes, 10)}})
	}
}
