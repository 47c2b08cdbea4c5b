package main

import (
	"runtime"
	"runtime/debug"
)

// version returns the version of the module that the go command has put into the binary, and the revision for a build
// from a tree. A report of a mistake needs all of it: the version, the build, Go and the system.
func version() string {
	text := "headrace (unknown version)"
	if info, ok := debug.ReadBuildInfo(); ok {
		text = "headrace " + info.Main.Version
		for _, s := range info.Settings {
			// 12 digits name a commit without doubt.
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				text += " " + s.Value[:12]
			}
		}
	}
	return text + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
