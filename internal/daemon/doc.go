// Package daemon is what surrounds a mirror that runs as a service: the control socket
// ([Server], [Ask]), metrics and health over HTTP ([Web]), the service manager ([Notifier]),
// and the journal of changes ([Journal]).
//
// It knows the FIB and what a mirror tells of itself ([Mirror]); what is asked over the
// socket, and how it is answered, is the command's.
package daemon
