# Add-ons at the versions that the environment pins. Those that call AWS do so by a Pod Identity role, not the node's.

locals {
  # Without these, nodes do not become ready: they come before any node.
  before_nodes = ["eks-pod-identity-agent", "kube-proxy", "vpc-cni"]

  configuration = {
    # The chart's NetworkPolicies are words only until the network plug-in enforces them.
    vpc-cni = { enableNetworkPolicy = "true" }
    # The driver's own default class does not encrypt: the deploy script applies one that does.
    aws-ebs-csi-driver = { defaultStorageClass = { enabled = false } }
  }

  identities = {
    vpc-cni = {
      service_account = "aws-node"
      role_arn        = module.cni.role_arn
    }
    aws-ebs-csi-driver = {
      service_account = "ebs-csi-controller-sa"
      role_arn        = module.ebs.role_arn
    }
  }
}

resource "aws_eks_addon" "before_nodes" {
  for_each = { for name in local.before_nodes : name => var.addon_versions[name] }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = each.value
  configuration_values        = try(jsonencode(local.configuration[each.key]), null)
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = try([local.identities[each.key]], [])
    content {
      service_account = pod_identity_association.value.service_account
      role_arn        = pod_identity_association.value.role_arn
    }
  }
}

resource "aws_eks_addon" "with_nodes" {
  for_each = { for name, version in var.addon_versions : name => version if !contains(local.before_nodes, name) }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = each.value
  configuration_values        = try(jsonencode(local.configuration[each.key]), null)
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  dynamic "pod_identity_association" {
    for_each = try([local.identities[each.key]], [])
    content {
      service_account = pod_identity_association.value.service_account
      role_arn        = pod_identity_association.value.role_arn
    }
  }

  # These run on nodes, and an add-on that finds none is degraded: the environment's system pool is waited for.
  depends_on = [terraform_data.nodes]
}

resource "terraform_data" "nodes" {
  input = var.system_pool
}

# Attaches addresses to nodes: Amazon's policy, held by the plug-in's account alone and not by every node.
module "cni" {
  source = "../pod-role"

  name             = "${var.name}-cni"
  cluster_arn      = local.arn
  namespace        = "kube-system"
  service_account  = "aws-node"
  managed_policies = ["arn:${var.partition}:iam::aws:policy/AmazonEKS_CNI_Policy"]
}

# Makes and attaches volumes for KFP's database and object store: Amazon's policy, which is bound to tagged volumes.
module "ebs" {
  source = "../pod-role"

  name             = "${var.name}-ebs"
  cluster_arn      = local.arn
  namespace        = "kube-system"
  service_account  = "ebs-csi-controller-sa"
  managed_policies = ["arn:${var.partition}:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"]
}
