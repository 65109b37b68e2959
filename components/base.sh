#!/usr/bin/env bash
# A base image from Debian's packages, where no registry can be reached: components/base.sh NAME. Needs root and debootstrap.
set -euo pipefail
name=${1:?"say which name the image gets, as localhost/base:1"}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder"
tar -C "$folder" -c . | docker import - "$name"
