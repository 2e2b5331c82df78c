// Package lockstep measures how fast a kernel is mirrored, and made equal to a desired state, with
// a million routes: beside raw netlink, and beside BIRD and zebra where they are installed. Linux and
// root only: everything takes place in a network namespace that goes with the process. Start
// at Run.
package lockstep
