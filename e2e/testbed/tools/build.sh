#!/bin/bash
# build.sh CACHE NAME...: builds programs from their public Go modules, each from the tools module that pins every byte
# of it (go.mod and go.sum). helm shares Kubernetes' module, and with it most of what it compiles; what tests charts has a
# module of the same versions. An output folder carries a hash of the pins and the linker flags, so a changed pin builds
# anew and an unchanged one costs nothing. CACHE/bin holds links to the current ones.
# One line "name seconds" for each program built. Nothing is written beside the sources.
set -euo pipefail
src=$(cd "$(dirname "$0")" && pwd)
cache=$1
shift
mkdir -p "$cache/bin" "$cache/tools"
export CGO_ENABLED=0 GOWORK=off

version=v1.34.4 # the Kubernetes that tools/kubernetes/go.mod pins
major=1 minor=34
component=k8s.io/component-base/version
kubernetes="-X $component.gitVersion=$version -X $component.gitMajor=$major -X $component.gitMinor=$minor"
# Without these flags `helm template` judges a chart's kubeVersion against helm's built-in guess.
helm="-X helm.sh/helm/v3/internal/version.version=v3.19.5"
for package in pkg/chartutil pkg/lint/rules; do
  helm+=" -X helm.sh/helm/v3/$package.k8sVersionMajor=$major -X helm.sh/helm/v3/$package.k8sVersionMinor=$minor"
done

build() { # module program package [linker flags]
  local module=$1 program=$2 package=$3 flags=${4-} hash out work start
  hash=$({ cat "$src/$module"/*; echo "$flags"; } | sha256sum | cut -c1-16)
  out=$cache/tools/$module-$hash
  if [ ! -x "$out/$program" ]; then
    start=$(date +%s)
    work=$cache/tools/src-$module
    rm -rf "$work" && mkdir -p "$work" "$out"
    cp "$src/$module"/* "$work/"
    # Half-written files never count: build beside, then move.
    (cd "$work" && nice -n 5 go build -p "${GO_BUILD_JOBS:-2}" -buildvcs=false -mod=readonly -trimpath \
      -ldflags "-s -w $flags" -o "$out/.$program" "$package")
    mv "$out/.$program" "$out/$program"
    rm -rf "$work"
    echo "$program $(($(date +%s) - start)) s"
  fi
  ln -sfn "$out/$program" "$cache/bin/$program"
}

for module in "$@"; do
  case $module in
    chart) # what tests charts: about 30 s after helm
      build chart helm-unittest github.com/helm-unittest/helm-unittest/cmd/helm-unittest "$helm"
      build chart helm-docs github.com/norwoodj/helm-docs/cmd/helm-docs
      build chart kubeconform github.com/yannh/kubeconform/cmd/kubeconform ;;
    coredns) build coredns coredns . ;;
    crirm) build crirm crirm . ;;
    etcd) build etcd etcd go.etcd.io/etcd/server/v3 ;;
    helm) build kubernetes helm helm.sh/helm/v3/cmd/helm "$helm" ;;
    kind) build kind kind sigs.k8s.io/kind ;;
    kubernetes)
      for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
        build kubernetes "$program" "k8s.io/kubernetes/cmd/$program" "$kubernetes"
      done ;;
    kube-score) build kube-score kube-score github.com/zegl/kube-score/cmd/kube-score ;; # 40 s
    kubernetes-client) build kubernetes kubectl k8s.io/kubernetes/cmd/kubectl "$kubernetes" ;;
    schemas) # what Kubernetes says of its own objects; the module is there when its programs were built
      (cd "$src/kubernetes" && go mod download k8s.io/kubernetes)
      ln -sfn "$(cd "$src/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json" \
        "$cache/tools/swagger.json" ;;
    *) echo "no tools module $module" >&2; exit 2 ;;
  esac
done
