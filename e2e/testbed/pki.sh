# Sourced by up.sh: one CA, the daemons' certificates and kubeconfigs, valid for 30 days, in $STATE/pki.
# shellcheck shell=bash disable=SC2154
pushd "$STATE/pki" > /dev/null
umask 077
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -subj /CN=kpay-testbed-ca -days 30 -out ca.crt \
  -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2> /dev/null
cert() { # name subject [alternative names]
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  { echo "keyUsage=critical,digitalSignature"
    echo "extendedKeyUsage=serverAuth,clientAuth"
    echo "basicConstraints=critical,CA:FALSE"
    [ -z "${3-}" ] || echo "subjectAltName=$3"; } > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" \
    -out "$1.crt" 2> /dev/null
  rm "$1.csr" "$1.ext"
}
kubeconfig() { # name: from NAME.crt and NAME.key
  cat > "$1.kubeconfig" <<C
apiVersion: v1
kind: Config
current-context: kpay
clusters: [{name: kpay, cluster: {server: "https://$GATEWAY:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
contexts: [{name: kpay, context: {cluster: kpay, user: $1}}]
C
}
kube=kubernetes.default
cert apiserver /CN=kube-apiserver "IP:$GATEWAY,IP:127.0.0.1,IP:$API_SERVICE,DNS:localhost,DNS:kubernetes,DNS:$kube,DNS:$kube.svc,DNS:$kube.svc.cluster.local"
cert apiserver-kubelet /O=system:masters/CN=apiserver-kubelet-client
cert front-proxy /CN=front-proxy-client
cert admin /O=system:masters/CN=kpay-admin; kubeconfig admin
cert kcm /CN=system:kube-controller-manager; kubeconfig kcm
cert scheduler /CN=system:kube-scheduler; kubeconfig scheduler
cert proxy /CN=system:kube-proxy; kubeconfig proxy
cert kubelet "/O=system:nodes/CN=system:node:$NODE" "IP:$GATEWAY,DNS:$NODE"; kubeconfig kubelet
openssl genrsa -out sa.key 2048 2> /dev/null
openssl rsa -in sa.key -pubout -out sa.pub 2> /dev/null
umask 022
popd > /dev/null
