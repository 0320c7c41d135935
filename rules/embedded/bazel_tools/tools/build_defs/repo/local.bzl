"""local_repository and new_local_repository under the label that Bazel's WORKSPACE files load them from."""

local_repository = native.local_repository
new_local_repository = native.new_local_repository
