# The production environment: protected from deletion, spread over zones, with a private API.

provider "aws" {
  region = var.region
  # A wrong profile in the shell stops here, not in somebody else's account.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      Project     = "evernas"
      Environment = "prod"
      ManagedBy   = "terraform"
    }
  }
}

module "platform" {
  source = "../../modules/platform"

  name                  = "evernas-prod"
  cidr                  = var.cidr
  availability_zones    = var.availability_zones
  single_nat_gateway    = false
  interface_endpoints   = ["ecr.api", "ecr.dkr", "sts", "eks-auth", "sqs"]
  kubernetes_version    = var.kubernetes_version
  addon_versions        = var.addon_versions
  public_access_cidrs   = var.public_access_cidrs
  access_entries        = var.access_entries
  github                = var.github
  devices               = var.devices
  maintenance_role_arns = var.maintenance_role_arns
  list_whole_bucket     = var.list_whole_bucket
  noncurrent_days       = 30
  log_retention_days    = 365
  deletion_protection   = var.deletion_protection

  system_pool = {
    instance_types = ["m7i.xlarge"]
    min_size       = 3
    max_size       = 8
  }

  gpu_pool = {
    instance_types = ["g6.2xlarge", "g5.2xlarge", "g6.4xlarge", "g5.4xlarge"]
    max_size       = 4
  }

  database = {
    engine_version = "17"
    instance_class = "db.m7g.large"
    storage_gb     = 100
    multi_az       = true
    backup_days    = 35
  }
}
