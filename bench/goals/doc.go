// Package goals compares what was measured with what was set out to be reached. A row
// whose figures are not there is not measured, which it says; nothing is filled in.
package goals
