package bolt

import (
	"errors"
	"fmt"
	"os"
)

// An Option changes how [Open] opens a file. A zero is the default. A negative value and a nil option are errors of Open.
type Option func(*config)

type config struct {
	mode      os.FileMode
	fileBytes int
}

var errNilOption = errors.New("an option is nil")

// complete checks the options and fills in the defaults.
func complete(opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c, errNilOption
		}
		o(&c)
	}
	if c.fileBytes < 0 {
		return c, fmt.Errorf("FileBytes(%d): must not be negative", c.fileBytes)
	}
	if c.mode == 0 {
		c.mode = 0o600
	}
	return c, nil
}

// FileMode sets the mode of a file that Open creates. The default is 0600.
func FileMode(mode os.FileMode) Option { return func(c *config) { c.mode = mode } }

// FileBytes sets how large the file may grow. An append beyond it fails and stores nothing, until a trim has made room.
// By default, only the disk limits the file. The file grows in steps of 16 MiB, and the last step must fit.
func FileBytes(n int) Option { return func(c *config) { c.fileBytes = n } }
