#!/usr/bin/env bash
# Every check of infra/ that needs no AWS account: format, types, terraform's own tests, and checkov where it is there.
set -euo pipefail
cd "$(dirname "$0")"
command -v terraform >/dev/null || { echo "terraform is not on the PATH: install 1.11 or newer (developer.hashicorp.com/terraform/install)." >&2; exit 1; }

terraform fmt -check -recursive -diff
for environment in dev prod; do
  terraform -chdir="envs/$environment" init -backend=false -input=false -no-color >/dev/null
  terraform -chdir="envs/$environment" validate -no-color
  terraform -chdir="envs/$environment" test -no-color
done
if command -v checkov >/dev/null; then
  checkov --directory . --framework terraform --compact --quiet --download-external-modules false
else
  echo "checkov is not on the PATH and was not run: pip install checkov (in an environment of its own), then again." >&2
  exit 1
fi
