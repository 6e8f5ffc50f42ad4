#!/bin/bash
# down.sh: ends what up.sh and its companions started (by recorded pid AND start time) and removes all that they made.
# Works after a kill -9 of the daemons and after an up.sh that ended half-way; a second run finds nothing to do.
set -uo pipefail
. "$(dirname "$0")/env.sh"
[ -d "$STATE" ] || { echo "$INSTANCE: nothing to do"; exit 0; }
stop TERM 3 forward
stop KILL 5 kafka kubelet proxy kcm scheduler apiserver etcd
alive containerd && "$BIN/crirm" "$CONTAINERD"
# What is left: shims of this containerd only (their -address is its socket) and the processes under them.
for proc in /proc/[0-9]*; do
  [ "$(basename "$(readlink "$proc/exe" 2> /dev/null)")" = containerd-shim-runc-v2 ] || continue
  tr '\0' ' ' < "$proc/cmdline" | grep -qF -- "-address $CONTAINERD " || continue
  pid=${proc#/proc/}
  # shellcheck disable=SC2046 # a list of pids
  kill -KILL $(cat "$proc"/task/*/children 2> /dev/null) "$pid"
  echo "ended the left-over container shim $pid"
done
for address in "$STATE"/containerd/run/io.containerd.runtime.v2.task/k8s.io/*/address; do
  [ -f "$address" ] && rm -f "$(sed 's|^unix://||' "$address")" # sockets of killed shims
done
stop TERM 5 containerd
awk -v state="$STATE/" 'index($2, state) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do
  umount -l "$mount"
done
if grep -qF " $STATE/" /proc/mounts; then
  echo "mounts remain under $STATE: it was not removed" >&2
  exit 1
fi
[ -e "/run/netns/$INSTANCE" ] && ip netns del "$INSTANCE"
for group in /sys/fs/cgroup/*/"$INSTANCE" "/sys/fs/cgroup/$INSTANCE" "$SYSTEM_GROUP"; do
  [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} \; 2> /dev/null
done
# Entries at fixed places that are shared with other users of containerd: only our own.
[ -d /var/log/containers ] && find /var/log/containers -lname "$STATE/*" -delete
for result in /var/lib/cni/results/"$INSTANCE"-????????????????????????????????????????????????????????????????-eth0; do
  [ -e "$result" ] || continue
  id=${result##*/"$INSTANCE"-}
  rm -f "$result" "/var/lib/cni/results/cni-loopback-${id%-eth0}-lo"
done
rm -rf "$STATE"
if [ -z "$(find "$STATES" -mindepth 1 -maxdepth 1 -type d)" ]; then # the last one puts the host back
  for net in $POD_NET $SERVICE_NET; do ip route del unreachable "$net" metric 9999 2> /dev/null; done
  [ -f "$STATES/sysctl.before" ] && while read -r key value; do echo "$value" > "/proc/sys/$key"; done < "$STATES/sysctl.before"
  rm -f "$STATES/sysctl.before"
fi
[ -d /run/netns ] && [ -z "$(ls -A /run/netns)" ] && umount /run/netns 2> /dev/null && rmdir /run/netns
rmdir /var/log/containers /var/lib/cni/results /var/lib/cni /run/containerd/runc/k8s.io /run/containerd/runc \
  /run/containerd/s /run/containerd 2> /dev/null
step "$INSTANCE is down, nothing is left of it"
