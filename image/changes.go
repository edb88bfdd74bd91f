package image

import (
	"gantry/image/instruction"

	"github.com/moby/moby/api/types/container"
)

// ApplyChanges applies Dockerfile instructions (CMD, ENV, EXPOSE, ...) to cfg. Errors: invalid argument, in dockerd's words.
func ApplyChanges(cfg *container.Config, changes []string) error {
	return instruction.Apply(cfg, changes)
}
