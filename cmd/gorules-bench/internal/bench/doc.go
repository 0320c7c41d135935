// Package bench measures gorules against what cargo's users run today, in
// pairs: both sides of a pair run one after the other on the same machine, in
// alternating order, and only the ratio of the two is a result. Absolute times
// are kept for scale; a machine drifts, so times of different runs must never
// be compared.
//
// It must never decide whether a time is good: no test may depend on it. It
// must never count work that the other side did not have to do, or leave out
// work that it had: what is kept out of both (fetching, the digest of a
// toolchain never seen before, the build of the coverage tool) is measured and
// printed apart, and what a measured run takes over from such preparation is
// charged to it (see Charge).
package bench
