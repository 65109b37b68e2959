# Bad input is refused before anything is made.

mock_provider "aws" { source = "../../tests/mocks" }

variables {
  name               = "evernas-test"
  partition          = "aws"
  region             = "eu-central-1"
  account_id         = "123456789012"
  cluster_arn        = "arn:aws:eks:eu-central-1:123456789012:cluster/evernas-test"
  cluster_name       = "evernas-test"
  availability_zones = ["eu-central-1a", "eu-central-1b"]
  kubernetes_version = "1.34"
  addon_versions = {
    aws-ebs-csi-driver     = "v1.48.0-eksbuild.2"
    coredns                = "v1.12.4-eksbuild.1"
    eks-pod-identity-agent = "v1.3.8-eksbuild.2"
    kube-proxy             = "v1.34.0-eksbuild.4"
    metrics-server         = "v0.8.0-eksbuild.2"
    vpc-cni                = "v1.20.3-eksbuild.1"
  }
  access_entries      = { platform = { principal_arn = "arn:aws:iam::123456789012:role/platform", policy = "AmazonEKSClusterAdminPolicy" } }
  subnet_ids          = ["subnet-1", "subnet-2"]
  node_role_arn       = "arn:aws:iam::123456789012:role/node"
  secrets_key_arn     = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  logs_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  data_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  log_retention_days  = 365
  public_access_cidrs = []
  system_pool         = "system"
}

run "another_account_and_an_open_ended_region_are_refused" {
  command = plan
  variables {
    region     = "Frankfurt"
    account_id = "prod"
  }
  expect_failures = [var.region, var.account_id]
}

run "an_api_open_to_the_world_unpinned_addons_and_reserved_groups_are_refused" {
  command = plan
  module { source = "../../modules/cluster" }
  variables {
    public_access_cidrs = ["0.0.0.0/0"]
    kubernetes_version  = "latest"
    addon_versions      = { coredns = "latest" }
    access_entries      = { all = { principal_arn = "arn:aws:iam::123456789012:role/dev", kubernetes_groups = ["system:masters"] } }
  }
  expect_failures = [var.public_access_cidrs, var.kubernetes_version, var.addon_versions, var.access_entries]
}

run "wildcards_in_a_workflows_subject_are_refused" {
  command = plan
  module { source = "../../modules/github" }
  variables {
    repository      = "example/*"
    branch          = "refs/heads/*"
    environment     = "*"
    create_provider = true
  }
  expect_failures = [var.repository, var.branch, var.environment]
}

run "overlapping_prefixes_and_a_shared_namespace_are_refused" {
  command = plan
  module { source = "../../modules/grants" }
  variables {
    bucket_name            = "evernas-test"
    prefixes               = { raw = "raw/", snapshots = "snapshots/", candidates = "candidates/", gate = "candidates/gate/", registry = "registry/", mlflow = "mlflow/" }
    queue_name             = "evernas-test-events"
    release_namespace      = "kubeflow"
    runs_namespace         = "kubeflow"
    service_account_prefix = "evernas"
    list_whole_bucket      = false
  }
  expect_failures = [var.prefixes, var.runs_namespace]
}

run "one_zone_and_a_tiny_network_are_refused" {
  command = plan
  module { source = "../../modules/network" }
  variables {
    cidr                = "10.0.0.0/28"
    availability_zones  = ["eu-central-1a"]
    single_nat_gateway  = true
    interface_endpoints = ["sts"]
  }
  expect_failures = [var.cidr, var.availability_zones, var.interface_endpoints]
}

run "burstable_devices_wrong_architectures_and_a_single_system_node_are_refused" {
  command = plan
  module { source = "../../modules/platform" }
  variables {
    cidr                = "10.20.0.0/16"
    single_nat_gateway  = true
    deletion_protection = true
    system_pool         = { instance_types = ["m7i.large"], min_size = 1, max_size = 3 }
    gpu_pool            = { instance_types = ["m7i.large"], max_size = 1 }
    database            = { engine_version = "17", instance_class = "db.t4g.small", storage_gb = 20, multi_az = false, backup_days = 3 }
    devices = {
      "Bad Name" = { instance_type = "c7i.xlarge" }
      burst      = { instance_type = "t3.large" }
      graviton   = { instance_type = "c7g.xlarge", architecture = "amd64" }
    }
    log_retention_days = 3
    noncurrent_days    = 1
    access_entries     = {}
  }
  expect_failures = [var.devices, var.system_pool, var.gpu_pool, var.log_retention_days, var.noncurrent_days, var.access_entries]
}

run "a_pool_without_nodes_or_of_unknown_kind_is_refused" {
  command = plan
  module { source = "../../modules/node-pool" }
  variables {
    instance_types = []
    architecture   = "riscv64"
    capacity_type  = "FREE"
    max_size       = 0
    labels         = {}
  }
  expect_failures = [var.instance_types, var.architecture, var.capacity_type, var.max_size]
}
