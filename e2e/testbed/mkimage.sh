#!/bin/bash
# mkimage.sh NAME:TAG OUT.tar USER ENTRYPOINT FILE[=PATH]...: a one-layer image FROM scratch as a docker-archive.
# Needs no daemon and no engine; the same files give the same bytes.
set -euo pipefail
name=$1 out=$2 user=$3 entry=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/layer" "$work/image"
for file in "$@"; do
  from=${file%%=*} to=${file#*=}
  [ "$to" = "$file" ] && to=/$(basename "$from")
  install -D -m 0755 "$from" "$work/layer$to"
done
chmod -R go+rX "$work/layer"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$work/layer" -cf "$work/image/layer.tar" .
digest=$(sha256sum "$work/image/layer.tar" | cut -d' ' -f1)
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
printf '{"architecture":"%s","os":"linux","config":{"User":"%s","Entrypoint":["%s"],"Env":["PATH=/"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"mkimage"}]}' \
  "$arch" "$user" "$entry" "$digest" > "$work/image/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" > "$work/image/manifest.json"
tar -C "$work/image" -cf "$out.part" manifest.json config.json layer.tar
mv "$out.part" "$out"
