# The whole environment: what dev and prod differ in are this module's inputs.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.name
  account_id = data.aws_caller_identity.current.account_id

  bucket_name = coalesce(var.bucket_name, "${var.name}-${local.account_id}")
  prefixes    = { raw = "raw/", snapshots = "snapshots/", candidates = "candidates/", gate = "gate/", registry = "registry/", mlflow = "mlflow/" }
}

module "encryption" {
  source = "../encryption"

  name       = var.name
  partition  = local.partition
  region     = local.region
  account_id = local.account_id
}

module "network" {
  source = "../network"

  name                = var.name
  region              = local.region
  account_id          = local.account_id
  cidr                = var.cidr
  availability_zones  = var.availability_zones
  single_nat_gateway  = var.single_nat_gateway
  interface_endpoints = var.interface_endpoints
  log_retention_days  = var.log_retention_days
  logs_key_arn        = module.encryption.key_arns.logs
}

module "cluster" {
  source = "../cluster"

  name                = var.name
  partition           = local.partition
  region              = local.region
  account_id          = local.account_id
  kubernetes_version  = var.kubernetes_version
  subnet_ids          = module.network.private_subnet_ids
  public_access_cidrs = var.public_access_cidrs
  secrets_key_arn     = module.encryption.key_arns.cluster
  logs_key_arn        = module.encryption.key_arns.logs
  log_retention_days  = var.log_retention_days
  addon_versions      = var.addon_versions
  access_entries      = merge(var.access_entries, local.workflow_entries)
  system_pool         = module.system_pool.name
}

locals {
  # The chart binds these groups: submitters may reach KFP's API, promoters may start the promotion Job.
  workflow_entries = var.github == null ? {} : {
    github-train   = { principal_arn = module.github[0].role_arns.train, kubernetes_groups = ["evernas-submitters"] }
    github-promote = { principal_arn = module.github[0].role_arns.promote, kubernetes_groups = ["evernas-promoters"] }
  }
}

module "storage" {
  source = "../storage"

  name                  = var.name
  bucket_name           = local.bucket_name
  partition             = local.partition
  region                = local.region
  account_id            = local.account_id
  prefixes              = local.prefixes
  key_arn               = module.encryption.key_arns.data
  decider_role_arn      = module.grants.role_arns.decider
  promoter_role_arn     = module.grants.role_arns.promoter
  ingest_role_arn       = module.grants.role_arns.ingest
  maintenance_role_arns = var.maintenance_role_arns
  noncurrent_days       = var.noncurrent_days
  log_retention_days    = var.log_retention_days
  force_destroy         = !var.deletion_protection
}

module "images" {
  source = "../images"

  name         = var.name
  repositories = var.image_repositories
  key_arn      = module.encryption.key_arns.data
  keep         = var.images_kept
  force_delete = !var.deletion_protection
}

module "database" {
  source = "../database"

  name                     = var.name
  partition                = local.partition
  account_id               = local.account_id
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.private_subnet_ids
  client_security_group_id = module.cluster.security_group_id
  key_arn                  = module.encryption.key_arns.database
  logs_key_arn             = module.encryption.key_arns.logs
  engine_version           = var.database.engine_version
  instance_class           = var.database.instance_class
  storage_gb               = var.database.storage_gb
  multi_az                 = var.database.multi_az
  backup_days              = var.database.backup_days
  log_retention_days       = var.log_retention_days
  deletion_protection      = var.deletion_protection
}

module "grants" {
  source = "../grants"

  name                   = var.name
  partition              = local.partition
  region                 = local.region
  account_id             = local.account_id
  cluster_name           = module.cluster.name
  cluster_arn            = module.cluster.arn
  bucket_name            = local.bucket_name
  prefixes               = local.prefixes
  data_key_arn           = module.encryption.key_arns.data
  queue_name             = "${var.name}-events"
  release_namespace      = var.release_namespace
  runs_namespace         = var.runs_namespace
  service_account_prefix = "evernas"
  list_whole_bucket      = var.list_whole_bucket
}

module "github" {
  source = "../github"
  count  = var.github == null ? 0 : 1

  name            = var.name
  partition       = local.partition
  region          = local.region
  account_id      = local.account_id
  cluster_arn     = module.cluster.arn
  repository      = var.github.repository
  branch          = var.github.branch
  environment     = var.github.environment
  create_provider = var.github.create_provider
}
