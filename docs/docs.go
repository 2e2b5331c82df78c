// Package docs holds the pages of this directory that tests read.
package docs

import _ "embed"

// KernelSemantics is the numbered reference of the kernel's behaviour.
//
//go:embed kernel-semantics.md
var KernelSemantics string
