#!/bin/sh
# Packs files so that nothing but their names, contents and x-bits counts:
#   tar.sh ARCHIVE.tar.gz DIR PREFIX	names of files in DIR, one a line, on stdin
# In the archive each one's name begins with PREFIX.  Their time is
# SOURCE_DATE_EPOCH, their owner root.
set -eu
umask 022

archive=$1 dir=$2 prefix=$3
LC_ALL=C sort -u | tar -C "$dir" --format=ustar --no-recursion \
	--owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
	--mtime="@$SOURCE_DATE_EPOCH" --transform "s|^|$prefix|" \
	-cf "$archive.new" -T -
gzip -n9 <"$archive.new" >"$archive"
rm "$archive.new"
