// Package rulesets has the routing policies under which FIBs and kernels are
// compared: rules as they are found on hosts, with the tables that they lead to and
// flows that meet them. Start at [Named].
package rulesets
