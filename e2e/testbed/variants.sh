#!/bin/bash
# variants.sh NAME OUT.tar LAYER FAULT...: images NAME:FAULT of one layer, the folder LAYER, that differ in $FAULT alone,
# as one docker-archive. `none` is no fault. See variant.c.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=$1 out=$2 layer=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$layer/usr/local/bin"
gcc -static -Os -Wall -Wextra -Werror -s -o "$layer/usr/local/bin/variant" "$here/variant.c"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$layer" -cf "$work/layer.tar" .
digest=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
manifest=
for fault in "$@"; do
  printf '{"architecture":"%s","os":"linux","config":{"User":"65532:65532","Entrypoint":["/usr/local/bin/variant"],"Env":["PATH=/","FAULT=%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"variants"}]}' \
    "$arch" "$fault" "$digest" > "$work/$fault.json"
  manifest+=${manifest:+,}'{"Config":"'$fault'.json","RepoTags":["'$name:$fault'"],"Layers":["layer.tar"]}'
done
printf '[%s]' "$manifest" > "$work/manifest.json"
tar -C "$work" -cf "$out.part" manifest.json "${@/%/.json}" layer.tar
mv "$out.part" "$out"
