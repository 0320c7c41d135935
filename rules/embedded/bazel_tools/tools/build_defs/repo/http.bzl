"""http_archive and http_file under the label that Bazel's WORKSPACE files load them from."""

http_archive = native.http_archive
http_file = native.http_file
