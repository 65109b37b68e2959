# One managed node group: its template and what Kubernetes sees of it. Who may run there is said by labels and taints.

locals {
  # Amazon's images, with NVIDIA's driver where there is an accelerator.
  ami_type = var.accelerator == "nvidia" ? "AL2023_x86_64_NVIDIA" : (
    var.architecture == "arm64" ? "AL2023_ARM_64_STANDARD" : "AL2023_x86_64_STANDARD"
  )
}

resource "aws_launch_template" "this" {
  name        = "${var.cluster_name}-${var.name}"
  description = "Nodes of the pool ${var.name}"

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # One hop: a pod cannot reach the node's role, which could pull every image and list the network.
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gb
      encrypted             = true
      delete_on_termination = true
    }
  }

  # One thread a core: what runs beside a measurement on a core's second thread would be measured too.
  dynamic "cpu_options" {
    for_each = var.physical_cores == null ? [] : [var.physical_cores]
    content {
      core_count       = cpu_options.value
      threads_per_core = 1
    }
  }

  monitoring { enabled = true }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = "${var.cluster_name}-${var.name}" })
    }
  }
}

resource "aws_eks_node_group" "this" {
  cluster_name    = var.cluster_name
  node_group_name = var.name
  node_role_arn   = var.node_role_arn
  subnet_ids      = var.subnet_ids
  version         = var.kubernetes_version
  ami_type        = local.ami_type
  capacity_type   = var.capacity_type
  instance_types  = var.instance_types
  labels          = var.labels

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  scaling_config {
    min_size     = var.min_size
    max_size     = var.max_size
    desired_size = var.min_size
  }

  dynamic "taint" {
    for_each = var.taints
    content {
      key    = taint.value.key
      value  = taint.value.value
      effect = taint.value.effect
    }
  }

  update_config { max_unavailable = 1 }

  node_repair_config { enabled = var.auto_repair }

  lifecycle {
    # The autoscaler sets it.
    ignore_changes = [scaling_config[0].desired_size]

    precondition {
      condition     = var.accelerator == null || var.architecture == "amd64"
      error_message = "The pool ${var.name} asks for an accelerator on ${var.architecture}: NVIDIA's image is for amd64."
    }
  }
}
