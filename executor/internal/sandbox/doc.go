// Package sandbox lays out one private root from a typed [Process] and runs one
// process in it, inside Linux namespaces, with or without root.
//
// A [Pool] owns worker slots. A slot owns one helper: this same executable,
// started again on first use, which enters its own user, mount, pid, net, ipc
// and uts namespaces once and then creates each action by a raw clone, so that
// no Go runtime starts per action. The clone is made ahead of the request, and
// carries out the plan as a list of system calls. What the host mounts after a
// slot's first action is not seen by it. [Main] is the helper's entrance: it has to
// be the first call of main, and of TestMain in every package whose tests
// reach a Pool.
//
// What an action sees: the plan's mounts, a fresh /proc, a minimal /dev, an
// empty writable /tmp and /dev/shm, fixed /etc/passwd, group, hosts and
// nsswitch.conf, an empty HOME, user and group 1000, host name "gorules", no
// network, no capability, and nothing of the host besides. All of it is
// read-only except /tmp, /dev/shm and what the plan declares writable.
//
// The package must never skip a step that the host refuses (the error is a
// [*StepError] that names it), never leave a process, mount or directory
// behind however gorules ends, and never judge a command: a failing command is
// a [Result], an error means that the tool failed.
package sandbox
