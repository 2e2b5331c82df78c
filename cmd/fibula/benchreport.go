package main

import "github.com/fibula-net/fibula/bench/results"

func writeReport(string, *results.Run) error { return nil }
