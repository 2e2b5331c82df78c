//go:build !linux

package results

func cpuModel() string { return "unknown" }

func kernelRelease() string { return "" }
