# What production differs in; the rights are the same module's, which dev's tests hold to a table.

mock_provider "aws" { source = "../../tests/mocks" }

variables {
  region             = "eu-central-1"
  account_id         = "123456789012"
  availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
  addon_versions = {
    aws-ebs-csi-driver     = "v1.48.0-eksbuild.2"
    coredns                = "v1.12.4-eksbuild.1"
    eks-pod-identity-agent = "v1.3.8-eksbuild.2"
    kube-proxy             = "v1.34.0-eksbuild.4"
    metrics-server         = "v0.8.0-eksbuild.2"
    vpc-cni                = "v1.20.3-eksbuild.1"
  }
  access_entries = {
    platform = { principal_arn = "arn:aws:iam::123456789012:role/platform", policy = "AmazonEKSClusterAdminPolicy" }
  }
  github = { repository = "example/evernas" }
}

run "two_zones_are_refused" {
  command = plan
  variables { availability_zones = ["eu-central-1a", "eu-central-1b"] }
  expect_failures = [var.availability_zones]
}

run "environment" {
  command = apply

  assert {
    condition     = var.deletion_protection && length(var.public_access_cidrs) == 0 && length(var.maintenance_role_arns) == 0
    error_message = "By default production can be deleted, is reached from outside, or lets people at gate/ and registry/."
  }

  assert {
    condition = (
      one(jsondecode(output.policies.github_trusts.promote).Statement).Condition.StringEquals["token.actions.githubusercontent.com:sub"]
      == "repo:example/evernas:environment:production"
    )
    error_message = "The promote role is not bound to the environment production."
  }

  assert {
    condition     = alltrue([for name, pool in output.pools : pool.min_size == 0 || name == "system"])
    error_message = "A pool besides the system's costs while it is idle."
  }
}
