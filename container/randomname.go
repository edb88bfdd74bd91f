package container

import (
	"math/rand/v2"
	"strconv"
)

// The two halves of a random name: a quality, and somebody who moved, lifted or
// stacked things for a living, or worked out how.
var (
	qualities = [...]string{
		"able", "agile", "amber", "ample", "apt", "awake", "bold", "brave", "breezy", "bright", "brisk", "calm",
		"candid", "clear", "clever", "crisp", "deft", "eager", "even", "exact", "fair", "fleet", "fond", "frank",
		"fresh", "gentle", "glad", "golden", "grand", "handy", "hardy", "hearty", "honest", "ideal", "jolly", "keen",
		"kind", "level", "light", "lively", "loyal", "lucid", "merry", "mild", "modest", "neat", "nimble", "noble",
		"open", "patient", "plain", "polite", "prompt", "proud", "quick", "quiet", "ready", "robust", "serene", "sharp",
		"silver", "sleek", "smart", "solid", "sound", "spry", "stable", "steady", "still", "stout", "sturdy", "sunny",
		"swift", "tidy", "trim", "true", "upright", "vivid", "warm", "wise", "witty", "zesty",
	}
	people = [...]string{
		"agnesi", "ampere", "archimedes", "armstrong", "arkwright", "bazalgette", "bell", "benz", "boole", "bramah",
		"brunel", "carnot", "cayley", "clarke", "coulomb", "daimler", "davy", "deere", "diesel", "edgerton", "eiffel",
		"ellet", "euler", "faraday", "fulton", "galilei", "goethals", "hamilton", "harrison", "heron", "hertz",
		"hooke", "hopper", "huygens", "jacquard", "joule", "kelvin", "lamarr", "leonardo", "lovelace", "marconi", "maudslay",
		"mclean", "meitner", "morse", "newcomen", "newton", "noether", "ohm", "otis", "pascal", "pelton", "perronet",
		"rennie", "roebling", "siemens", "smeaton", "stephenson", "stevin", "telford", "tesla", "torricelli", "trevithick", "tsiolkovsky",
		"turing", "vauban", "vitruvius", "volta", "watt", "wheatstone", "whitworth", "wright", "yamada", "zeppelin", "zuse",
	}
)

// randomName returns quality_person, with a digit once the plain ones were taken.
func randomName(attempt int) string {
	name := qualities[rand.IntN(len(qualities))] + "_" + people[rand.IntN(len(people))]
	if attempt > 0 {
		name += strconv.Itoa(rand.IntN(10))
	}
	return name
}
