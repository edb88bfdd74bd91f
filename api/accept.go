package api

import (
	"strconv"
	"strings"
)

// acceptPart reads one element of an Accept header: a media type and its quality, 1 unless it says otherwise.
func acceptPart(part string) (media string, quality float64) {
	media, params, _ := strings.Cut(part, ";")
	quality = 1
	for param := range strings.SplitSeq(params, ";") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(param), "q="); ok {
			q, err := strconv.ParseFloat(value, 64)
			if err != nil {
				q = 0
			}
			quality = q
		}
	}
	return strings.ToLower(strings.TrimSpace(media)), quality
}
