//go:build race

package producer_test

const race = true
