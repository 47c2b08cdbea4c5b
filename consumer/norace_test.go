//go:build !race

package consumer_test

const race = false
