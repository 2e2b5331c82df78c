// Package tables has what benchmarks fill routing tables with: the internet's table
// ([Real]), one that looks like it in any size ([Synthetic]), files ([Open]: lists of
// prefixes and MRT dumps of BGP routers), or a FIB ([OfSnapshot]).
package tables
