//go:build !race

package producer_test

const race = false
