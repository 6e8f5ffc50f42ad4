# Sourced by the scripts beside it. CACHE and INSTANCE come from `cargo xtask`, which runs them; for a run by hand:
# CACHE=~/.cache/kpay INSTANCE=kpay ./down.sh
# shellcheck shell=bash disable=SC2034 # the variables are used by the scripts that source this
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${CACHE:-${KPAY_CACHE:-$HOME/.cache/kpay}}
INSTANCE=${INSTANCE:-kpay}      # also the name of the network namespace and of the kubelet's cgroup root
BIN=$CACHE/bin
STATES=$CACHE/state
STATE=$STATES/$INSTANCE         # everything that up.sh makes; down.sh removes it. Unix socket paths end at 107 bytes
LIBS=$CACHE/kafka/libs
BRIDGE=kp0 POD_NET=10.244.0.0/24 GATEWAY=10.244.0.1 SERVICE_NET=10.96.0.0/24 API_SERVICE=10.96.0.1 DNS=10.96.0.10
NODE=kpay-node
CPU=/sys/fs/cgroup/cpu
[ -d "$CPU" ] || CPU=/sys/fs/cgroup
SYSTEM_GROUP=$CPU/$INSTANCE.system # of the daemons
CONTAINERD=$STATE/c.sock
KUBECONFIG=$STATE/pki/admin.kubeconfig
export KUBECONFIG
# Of a function in the background, $! is only a subshell: start daemons with `"${NS[@]}" command &`.
NS=(nsenter --net="/run/netns/$INSTANCE" --)
ns() { "${NS[@]}" "$@"; }
kc() { ns "$BIN/kubectl" "$@"; }
ctrk() { ctr -a "$CONTAINERD" -n k8s.io "$@"; }

T0=$(date +%s.%N)
step() { printf '%7.1f s  %s\n' "$(echo "$(date +%s.%N) - $T0" | bc)" "$*"; }

# Nothing for a zombie: it has ended, and nobody may ever come to collect it.
started_at() { sed 's/.*) //; /^Z/d' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }
alive() { # name: true while the recorded process (same pid and start time) runs
  local pid since
  [ -f "$STATE/pids/$1" ] && read -r pid since < "$STATE/pids/$1" && [ "$(started_at "$pid")" = "$since" ]
}
start() { # name command...: a daemon in the namespace, its log in $STATE/log, its pid and start time recorded
  local name=$1; shift
  (
    [ -d "$SYSTEM_GROUP" ] && echo $BASHPID > "$SYSTEM_GROUP/cgroup.procs"
    exec setsid "${NS[@]}" "$@"
  ) > "$STATE/log/$name.log" 2>&1 < /dev/null &
  echo "$! $(started_at $!)" > "$STATE/pids/$name"
}
stop() { # signal seconds name...: signal all, then wait for each, then KILL
  local signal=$1 seconds=$2 name pid _ i; shift 2
  for name in "$@"; do alive "$name" && { read -r pid _ < "$STATE/pids/$name"; kill "-$signal" "$pid"; }; done
  for name in "$@"; do
    for ((i = 0; i < seconds * 10; i++)); do alive "$name" || break; sleep .1; done
    alive "$name" && { read -r pid _ < "$STATE/pids/$name"; kill -KILL "$pid"; sleep .2; }
    rm -f "$STATE/pids/$name"
  done
  return 0
}
wait_for() { # seconds daemon command...: polls until the command succeeds; a dead daemon ends the wait
  local seconds=$1 daemon=$2 i; shift 2
  for ((i = 0; i < seconds * 5; i++)); do
    "$@" > /dev/null 2>&1 && return
    alive "$daemon" || break
    sleep .2
  done
  echo "$daemon is not ready; read $STATE/log/$daemon.log, which ends with:" >&2
  tail -n 5 "$STATE/log/$daemon.log" >&2
  exit 1
}
