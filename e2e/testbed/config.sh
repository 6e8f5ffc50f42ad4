# Sourced by up.sh: the daemons' configuration files.
# shellcheck shell=bash disable=SC2154
cat > "$STATE/etc/containerd.toml" <<C
version = 2
root = "$STATE/containerd/root"
state = "$STATE/containerd/run"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs","io.containerd.snapshotter.v1.zfs","io.containerd.snapshotter.v1.aufs","io.containerd.snapshotter.v1.devmapper","io.containerd.internal.v1.opt","io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "$CONTAINERD"
[debug]
  level = "warn"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/kp/pause:1"
  stream_server_address = "127.0.0.1"
  # Without CAP_SYS_RESOURCE runc may not lower oom_score_adj, and dies with a message about a pipe.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$STATE/etc/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$STATE/etc/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
      Root = "$STATE/containerd/runc"
C
# Every pull goes to a closed loopback port: a missing image can never send anything out.
printf 'server = "http://127.0.0.1:1"\n[host."http://127.0.0.1:1"]\n  capabilities = ["pull", "resolve"]\n' \
  > "$STATE/etc/certs.d/_default/hosts.toml"

# The network's name is the instance's: CNI keeps results by that name at one place for all.
cat > "$STATE/etc/cni/10-kp.conflist" <<C
{"cniVersion":"0.4.0","name":"$INSTANCE","plugins":[
 {"type":"bridge","bridge":"$BRIDGE","isGateway":true,"isDefaultGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$STATE/cni","ranges":[[{"subnet":"$POD_NET","gateway":"$GATEWAY"}]]}},
 {"type":"portmap","capabilities":{"portMappings":true},"snat":true}]}
C

# The tests count who writes what, and compare what the operator and the pods ask for with their rights: metadata only.
cat > "$STATE/etc/audit.yaml" <<C
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: ["system:serviceaccount:kpay-system:kpay-operator"]}
- {level: Metadata, userGroups: ["system:serviceaccounts"], resources: [{group: kpay.dev}]}
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
C

: > "$STATE/etc/resolv.conf" # pods with dnsPolicy Default must not learn the host's resolver
cat > "$STATE/etc/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $GATEWAY
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/kubelet.crt
tlsPrivateKeyFile: $STATE/pki/kubelet.key
containerRuntimeEndpoint: unix://$CONTAINERD
cgroupDriver: cgroupfs
cgroupRoot: /$INSTANCE
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$DNS]
resolvConf: $STATE/etc/resolv.conf
staticPodPath: ""
maxPods: 100
registerNode: true
nodeStatusUpdateFrequency: 5s
nodeLeaseDurationSeconds: 40
# Below 100 the image garbage collection may delete the imported images, and nothing can pull them again.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
enforceNodeAllocatable: [pods]
makeIPTablesUtilChains: true
serializeImagePulls: true
# A changed Secret is in the pod after 3 s, not after 14.
syncFrequency: 2s
podLogsDir: $STATE/podlogs
volumePluginDir: $STATE/volumeplugins
C

cat > "$STATE/etc/proxy.yaml" <<C
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
bindAddress: $GATEWAY
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
hostnameOverride: $NODE
clientConnection: {kubeconfig: $STATE/pki/proxy.kubeconfig}
detectLocalMode: BridgeInterface
detectLocal: {bridgeInterface: $BRIDGE}
nodePortAddresses: [$GATEWAY/32]
iptables: {minSyncPeriod: 100ms, syncPeriod: 30s, localhostNodePorts: false}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
C
