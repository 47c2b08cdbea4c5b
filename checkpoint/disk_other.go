//go:build !windows

package checkpoint

import (
	"errors"
	"os"
)

// renameNeedsNoReader is false because a reader that has the old file open keeps the old file after a rename.
const renameNeedsNoReader = false

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
