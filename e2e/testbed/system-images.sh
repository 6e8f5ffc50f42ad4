#!/bin/bash
# system-images.sh CACHE: the two images that the cluster itself runs, made from what is built here, if they are missing
# or older than what goes into them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$1
out=$cache/images/system
mkdir -p "$out"
if [ ! -f "$out/pause.tar" ] || [ "$here/pause.c" -nt "$out/pause.tar" ]; then
  gcc -static -Os -s -o "$out/pause" "$here/pause.c"
  "$here/mkimage.sh" localhost/kp/pause:1 "$out/pause.tar" 65535:65535 /pause "$out/pause"
  rm "$out/pause"
fi
coredns=$(readlink -f "$cache/bin/coredns")
if [ ! -f "$out/coredns.tar" ] || [ "$coredns" -nt "$out/coredns.tar" ]; then
  "$here/mkimage.sh" localhost/kp/coredns:1 "$out/coredns.tar" 65532:65532 /coredns "$coredns"
fi
