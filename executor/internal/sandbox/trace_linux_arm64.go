package sandbox

// archPathCalls is empty: every path call of this architecture takes a
// directory descriptor.
var archPathCalls = map[uint64]pathCall{}
