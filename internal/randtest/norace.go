//go:build !race

package randtest

const race = false
