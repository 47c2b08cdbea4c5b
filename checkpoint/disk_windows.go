package checkpoint

import (
	"os"

	"golang.org/x/sys/windows"
)

// renameNeedsNoReader is true because Windows cannot replace a file while somebody has the file open. Therefore readers
// take the lock, too.
const renameNeedsNoReader = true

// rename asks for write-through, because Windows cannot sync a directory.
func (osDisk) rename(from, to string) error {
	wrap := func(err error) error { return &os.LinkError{Op: "rename", Old: from, New: to, Err: err} }
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return wrap(err)
	}
	target, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return wrap(err)
	}
	err = windows.MoveFileEx(old, target, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
	if err != nil {
		return wrap(err)
	}
	return nil
}

func (osDisk) syncDir(string) error { return nil }
