//go:build !race

package idle

const race = false
