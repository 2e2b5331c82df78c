// Package engines fills what is compared: our own engines of longest-prefix match,
// other Go modules, and whole FIBs that decide by rules.
//
// [LPM] is the list of the former two; a new engine of ours is one line in it. [FIB]
// makes the third. All give the same answers, which [Answers.Checksum] compares.
package engines
