# The development environment: small, and gone again with one terraform destroy.

provider "aws" {
  region = var.region
  # A wrong profile in the shell stops here, not in somebody else's account.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      Project     = "evernas"
      Environment = "dev"
      ManagedBy   = "terraform"
    }
  }
}

module "platform" {
  source = "../../modules/platform"

  name                  = "evernas-dev"
  cidr                  = var.cidr
  availability_zones    = var.availability_zones
  single_nat_gateway    = true
  interface_endpoints   = ["ecr.api", "ecr.dkr", "sts"]
  kubernetes_version    = var.kubernetes_version
  addon_versions        = var.addon_versions
  public_access_cidrs   = var.public_access_cidrs
  access_entries        = var.access_entries
  github                = var.github
  devices               = var.devices
  maintenance_role_arns = var.maintenance_role_arns
  list_whole_bucket     = var.list_whole_bucket
  noncurrent_days       = 7
  log_retention_days    = 30
  deletion_protection   = var.deletion_protection

  system_pool = {
    instance_types = ["m7i.large"]
    min_size       = 2
    max_size       = 5
  }

  gpu_pool = {
    instance_types = ["g6.xlarge", "g5.xlarge", "g4dn.xlarge"]
    max_size       = 1
  }

  database = {
    engine_version = "17"
    instance_class = "db.t4g.small"
    storage_gb     = 20
    multi_az       = false
    backup_days    = 3
  }
}
