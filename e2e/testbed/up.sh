#!/bin/bash
# up.sh: one-node Kubernetes in a network namespace of its own. Waits for the node to be Ready and CoreDNS Available.
# Every daemon, bridge, route and iptables rule lives in the namespace, which has no way out; the host gets two
# "unreachable" routes, so that a cluster address used outside the namespace can never leave by the default route.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -e "$STATE/pids" ] && { echo "$INSTANCE is up or was not cleaned up: cargo xtask down --all" >&2; exit 1; }
mkdir -p "$STATE"/{pids,log,pki,etc/cni,etc/certs.d/_default,kubelet,etcd,containerd}
chmod 700 "$STATE" "$STATE/etcd" "$STATE/pki"

# --- what the kubelet changes on the host is noted by the first instance and put back by the last (down.sh)
if [ ! -f "$STATES/sysctl.before" ]; then
  for key in vm/overcommit_memory kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    echo "$key $(cat /proc/sys/$key)"
  done > "$STATES/sysctl.before"
fi
for net in $POD_NET $SERVICE_NET; do ip route replace unreachable "$net" metric 9999; done

# --- cgroups: a root of our own, or a second kubelet would take the first one's pods for leftovers and kill them
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup/$INSTANCE"
  sed 's/\([a-z_]\+\)/+\1/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control || true
else
  for controller in /sys/fs/cgroup/*/; do
    group=$controller$INSTANCE
    mkdir -p "$group" 2> /dev/null || continue
    for file in cpuset.cpus cpuset.mems; do # a new cpuset is empty and takes no process
      [ -f "$group/$file" ] && cat "$controller$file" > "$group/$file"
    done
  done
fi
# The daemons have a group beside that of the pods, and half its weight, as on a node that systemd set up: each of their threads
# would weigh as much as all pods together.
mkdir -p "$SYSTEM_GROUP"
if [ -f "$CPU/$INSTANCE/cpu.shares" ]; then
  echo 2048 > "$CPU/$INSTANCE/cpu.shares"
elif [ -f "$CPU/$INSTANCE/cpu.weight" ]; then
  echo 200 > "$CPU/$INSTANCE/cpu.weight"
fi

# --- network: a bridge that also carries the node's address, and guards
ip netns add "$INSTANCE"
ns ip link set lo up
ns sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
ns ip link add $BRIDGE type bridge
ns ip addr add $GATEWAY/24 dev $BRIDGE
ns ip link set $BRIDGE up
ns ip route add $SERVICE_NET dev $BRIDGE # a service address that kube-proxy has not rewritten dies on the bridge
# Pods reach pods and this node, nothing else: by routing, so that no order of iptables rules can undo it.
ns ip route add $POD_NET dev $BRIDGE table 100
ns ip route add unreachable default table 100
ns ip rule add pref 100 iif $BRIDGE lookup 100
ns iptables -w -N KP-GUARD
ns iptables -w -A KP-GUARD -i $BRIDGE ! -o $BRIDGE -j REJECT --reject-with icmp-net-prohibited
ns iptables -w -A KP-GUARD ! -i $BRIDGE -o $BRIDGE -j DROP
ns iptables -w -I FORWARD -j KP-GUARD
ns iptables -w -N KP-GUARD-IN
ns iptables -w -A KP-GUARD-IN ! -i $BRIDGE -d $GATEWAY -m addrtype ! --src-type LOCAL -j DROP
ns iptables -w -I INPUT -j KP-GUARD-IN

. "$HERE/config.sh" # writes the daemons' files
start containerd containerd -c "$STATE/etc/containerd.toml"
start etcd "$BIN/etcd" --name kp --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster kp=http://127.0.0.1:2380 --auto-compaction-mode revision --auto-compaction-retention 10000
. "$HERE/pki.sh" # certificates and kubeconfigs; containerd and etcd start meanwhile
step "certificates"

P=$STATE/pki
start apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
  --bind-address=$GATEWAY --advertise-address=$GATEWAY --secure-port=6443 \
  --client-ca-file="$P/ca.crt" --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
  --kubelet-client-certificate="$P/apiserver-kubelet.crt" --kubelet-client-key="$P/apiserver-kubelet.key" \
  --kubelet-certificate-authority="$P/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" \
  --requestheader-client-ca-file="$P/ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$P/front-proxy.crt" --proxy-client-key-file="$P/front-proxy.key" \
  --service-cluster-ip-range=$SERVICE_NET --authorization-mode=Node,RBAC \
  --enable-admission-plugins=NodeRestriction --allow-privileged=true --profiling=false \
  --audit-policy-file="$STATE/etc/audit.yaml" --audit-log-path="$STATE/log/audit.log" --audit-log-mode=blocking --audit-log-maxsize=2000 # MiB: one file

wait_for 30 containerd ctrk version
(for image in "$CACHE"/images/system/*.tar; do ctrk images import "$image" > /dev/null; done) & import=$!
start kubelet "$BIN/kubelet" --config="$STATE/etc/kubelet.yaml" --kubeconfig="$P/kubelet.kubeconfig" \
  --hostname-override=$NODE --node-ip=$GATEWAY --root-dir="$STATE/kubelet" --cert-dir="$STATE/kubelet/pki"
wait_for 120 apiserver kc get --raw /readyz
step "kube-apiserver ready"
# With the default of 20 requests a second the controllers are up 4 s later.
start kcm "$BIN/kube-controller-manager" --kubeconfig="$P/kcm.kubeconfig" \
  --authentication-kubeconfig="$P/kcm.kubeconfig" --authorization-kubeconfig="$P/kcm.kubeconfig" \
  --bind-address=127.0.0.1 --leader-elect=false --use-service-account-credentials=true --root-ca-file="$P/ca.crt" \
  --service-account-private-key-file="$P/sa.key" --cluster-signing-cert-file="$P/ca.crt" \
  --cluster-signing-key-file="$P/ca.key" --allocate-node-cidrs=false --kube-api-qps=300 --kube-api-burst=600 \
  --node-monitor-period=2s --profiling=false
start scheduler "$BIN/kube-scheduler" --kubeconfig="$P/scheduler.kubeconfig" \
  --authentication-kubeconfig="$P/scheduler.kubeconfig" --authorization-kubeconfig="$P/scheduler.kubeconfig" \
  --bind-address=127.0.0.1 --leader-elect=false --profiling=false
start proxy "$BIN/kube-proxy" --config="$STATE/etc/proxy.yaml"
wait $import
sed "s/@DNS@/$DNS/" "$HERE/etc/coredns.yaml" | kc apply -f - > /dev/null
wait_for 120 kubelet kc get node $NODE
kc wait --for=condition=Ready node/$NODE --timeout=120s > /dev/null
step "node Ready"
kc -n kube-system rollout status deploy/coredns --timeout=120s > /dev/null
step "CoreDNS Available"
