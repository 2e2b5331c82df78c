// Package linear is the golden model of package lookup: a sorted slice that every
// question scans from end to end.
//
// It exists to be checked by eye and to be right. The other engines are compared with
// it; see package lookuptest. Read [Table.Shorter] first: it is the whole of
// longest-prefix match.
package linear
