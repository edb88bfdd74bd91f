package record

import (
	"os"
	"path/filepath"

	"gantry/internal/atomicfile"
)

// Rewrite changes the record in a container's directory, which nobody has open. hostconfig.json stays as it is.
func Rewrite(dir string, change func(*Container)) error {
	config, err := os.ReadFile(filepath.Join(dir, ConfigFile))
	if err != nil {
		return err
	}
	host, err := os.ReadFile(filepath.Join(dir, HostConfigFile))
	if err != nil {
		return err
	}
	c, err := Decode(config, host)
	if err != nil {
		return err
	}
	change(c)
	data, err := Encode(c, dir)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, ConfigFile), data, 0o600)
}
