// Command fibula answers where packets go, as Linux would, and why.
//
//	fibula get 192.0.2.1 mark 7        as "ip route get", also from a file
//	fibula explain 192.0.2.1 mark 7    the same, step by step
//	fibula state save | show | capture what it answers from, as a file
//	fibula verify                      its answers beside the kernel's
//	fibula sync --from want.yaml       makes a kernel as it should be, and keeps it so
//	fibula demo                        a million routes, compared with the kernel
//
// # Where to start
//
// main.go sets signals and calls run, which every test calls too; app.go has what
// the verbs share: options, errors, exit codes; source.go loads the state that
// answers. Then there is one file per verb. The verbs are thin: words, text and
// JSON are package iproute's, the kernel is package ksync's, answers are package
// fib's.
package main
