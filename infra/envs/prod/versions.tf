terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # The bucket comes with `terraform init -backend-config=backend.hcl` (infra/README.md): its name is yours. The lock is
  # a file beside the state, created only if there is none.
  backend "s3" {
    key          = "evernas/prod.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
