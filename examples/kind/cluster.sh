#!/usr/bin/env bash
# Kubernetes and Kubeflow Pipelines on one machine, with kind (docs/cluster-local.md), and evernas's own trial there.
#
#   cluster.sh up           makes the cluster `evernas` with Kubeflow Pipelines on it
#   cluster.sh load TAG     makes the images evernas/NAME:TAG of the local Docker engine known to it
#   cluster.sh trial TAG    puts PostgreSQL and an S3 server beside it, and calls `make e2e-cluster`
#   cluster.sh down         takes all of it away
#
# Needs Docker on Linux, kind, kubectl and, for the trial, helm and make.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cluster=evernas
# The version that is in infra/deploy/deploy.py too; what `up` waits for is what a run needs.
kfp=github.com/kubeflow/pipelines/manifests/kustomize
kfp_version=2.17.0
needed=(ml-pipeline workflow-controller ml-pipeline-persistenceagent ml-pipeline-scheduledworkflow metadata-grpc-deployment)
postgresql=docker.io/library/postgres:17.6-bookworm
s3=ghcr.io/versity/versitygw:v1.8.0

on() { kubectl --context "kind-$cluster" "$@"; }
address() { docker inspect --format '{{.NetworkSettings.Networks.kind.IPAddress}}' "$1"; }

up() {
  kind create cluster --name $cluster --config "$here/kind.yaml"
  on apply -k "$kfp/cluster-scoped-resources?ref=$kfp_version"
  on wait --for=condition=established --timeout=60s crd/applications.app.k8s.io
  on apply -k "$kfp/env/platform-agnostic?ref=$kfp_version"
  on -n kubeflow patch configmap kfp-launcher --type merge --patch-file "$here/launcher.yaml"
  for name in "${needed[@]}"; do
    on -n kubeflow rollout status "deployment/$name" --timeout=900s
  done
}

load() {
  kind load docker-image --name $cluster "evernas/core:$1" "evernas/train:$1" "evernas/runner:$1" "evernas/mlflow:$1"
}

# What the trial wants outside of the cluster, on kind's own network: this machine and pods reach it under one address.
beside() {
  docker run --detach --name evernas-postgresql --network kind --env POSTGRES_PASSWORD=only-for-this-machine $postgresql
  # The owner decides; KFP and runs are another user, with the keys that KFP's own Secret holds.
  docker run --detach --name evernas-s3 --network kind --volume /data --env ROOT_ACCESS_KEY=decider \
    --env ROOT_SECRET_KEY=only-for-this-machine --entrypoint sh $s3 -c \
    'mkdir -p /data/iam /data/objects /data/versions && exec versitygw --port :9000 --iam-dir /data/iam posix --versioning-dir /data/versions /data/objects'
  for attempt in $(seq 60); do
    ! administer list-users > /dev/null 2>&1 || break
    test "$attempt" -lt 60 || { docker logs evernas-s3; exit 1; }
    sleep 1
  done
  administer create-user --access minio --secret minio123 --role userplus
  administer create-bucket --bucket mlpipeline --owner minio
  on -n kubeflow delete deployment/seaweedfs service/seaweedfs networkpolicy/seaweedfs
  sed "s/ADDRESS/$(address evernas-s3)/" "$here/store.yaml" | on apply -f -
  on -n kubeflow expose deployment ml-pipeline --name ml-pipeline-outside --type NodePort --port 8888
}

administer() {
  docker exec evernas-s3 versitygw admin --access decider --secret only-for-this-machine --endpoint-url http://127.0.0.1:9000 "$@"
}

trial() {
  beside
  folder=$(mktemp -d)
  trap 'rm -r "$folder"' EXIT
  kind get kubeconfig --name $cluster > "$folder/kubeconfig"
  node=$(on get nodes --output jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  port=$(on -n kubeflow get service ml-pipeline-outside --output jsonpath='{.spec.ports[0].nodePort}')
  KUBECONFIG="$folder/kubeconfig" KFP_HOST="http://$node:$port" \
    S3_ENDPOINT="http://$(address evernas-s3):9000" S3_ACCESS_KEY=minio S3_SECRET_KEY=minio123 \
    S3_PROMOTER_ACCESS_KEY=decider S3_PROMOTER_SECRET_KEY=only-for-this-machine \
    POSTGRES_URL="postgresql://postgres:only-for-this-machine@$(address evernas-postgresql):5432/postgres" \
    IMAGE_REPOSITORY=evernas IMAGE_TAG="$1" make -C "$here/../.." e2e-cluster
}

down() {
  kind delete cluster --name $cluster
  # They are there after a trial alone.
  docker rm --force --volumes evernas-postgresql evernas-s3 || true
}

case ${1:-} in
  up | down) "$1" ;;
  load | trial) "$1" "${2:?name the tag of the images, as dev}" ;;
  *) sed -n '2,9p' "$0" && exit 2 ;;
esac
