// Package measure takes times that can be compared: on one core, in processor time
// of the thread, warmed up, several runs in turn, and tells their spread.
package measure
