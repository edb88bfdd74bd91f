package api

import (
	"encoding/json"
	"strings"
	"time"

	"gantry/events"

	"github.com/moby/moby/api/types"
	eventtypes "github.com/moby/moby/api/types/events"
)

// journal streams the engine's events.
type journal struct{ svc *events.Journal }

// eventBefore52 repeats who and what in the fields of API 1.21, which were dropped in 1.52 at last.
type eventBefore52 struct {
	Status string `json:"status,omitempty"`
	ID     string `json:"id,omitempty"`
	From   string `json:"from,omitempty"`
	eventtypes.Message
}

func (j journal) events(w *response, r *request) error {
	query, err := eventQuery(r)
	if err != nil {
		return err
	}
	ctx, cancel := r.server.untilEnd(r.Context())
	defer cancel()
	all, err := j.svc.Subscribe(ctx, query)
	if err != nil {
		return err
	}
	media := eventMedia(r)
	w.Header().Set("Content-Type", media)
	w.Flush() // the subscription is there: what happens from now on is seen
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for e, err := range all {
		if err != nil {
			return err
		}
		if skipEvent(&e, r.version) {
			continue
		}
		if media == types.MediaTypeJSONSequence {
			w.Write([]byte{0x1e}) // RFC 7464
		}
		if encoder.Encode(shapeEvent(&e, r.version)) != nil {
			return nil // the client has gone
		}
		w.Flush()
	}
	return nil
}

func eventQuery(r *request) (q events.Query, err error) {
	now := time.Now()
	if q.Since, err = instant("since", r.param("since"), now); err != nil {
		return q, err
	}
	if q.Until, err = instant("until", r.param("until"), now); err != nil {
		return q, err
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && q.Until.Before(q.Since) {
		return q, invalid("`since` time (%s) cannot be after `until` time (%s)", r.param("since"), r.param("until"))
	}
	q.Filters, err = r.filters()
	return q, err
}

// eventMedia is the form that the client prefers, of those that its version has.
func eventMedia(r *request) types.MediaType {
	if r.version.before(52) {
		return types.MediaTypeJSON
	}
	offers := []types.MediaType{types.MediaTypeNDJSON, types.MediaTypeJSONSequence}
	if !r.version.before(53) {
		offers = append([]types.MediaType{types.MediaTypeJSONLines}, offers...)
	}
	return preferred(r.Header.Values("Accept"), offers, types.MediaTypeJSON)
}

// preferred returns the offer with the highest quality in the Accept headers, the first of equal ones, and fallback if none is named.
func preferred(accept []string, offers []types.MediaType, fallback types.MediaType) types.MediaType {
	best, quality := fallback, 0.0
	for _, part := range strings.Split(strings.Join(accept, ","), ",") {
		name, q := acceptPart(part)
		for _, offer := range offers {
			if name == offer && q > quality {
				best, quality = offer, q
			}
		}
	}
	return best
}

// skipEvent hides what the version did not have.
func skipEvent(e *eventtypes.Message, at version) bool {
	return at.before(46) && e.Type == eventtypes.ImageEventType && e.Action == eventtypes.ActionCreate
}

func shapeEvent(e *eventtypes.Message, at version) any {
	if !at.before(52) {
		return e
	}
	old := eventBefore52{Message: *e}
	switch e.Type {
	case eventtypes.ContainerEventType:
		old.From = e.Actor.Attributes["image"]
		fallthrough
	case eventtypes.ImageEventType:
		old.Status, old.ID = string(e.Action), e.Actor.ID
	}
	return old
}
