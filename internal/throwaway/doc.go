// Package throwaway makes network namespaces that have no name and that the
// kernel takes away with the process, however that ends. Linux only. Start at New.
package throwaway
