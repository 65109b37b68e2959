# Where pods run: a system pool for everything without a device, spot GPUs for training, and a pool a device.

resource "aws_iam_role" "node" {
  name = "${var.name}-node"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# A node joins the cluster and pulls images; the network plug-in and volumes have roles of their own. The second policy
# pulls only: the larger one that AWS's guides name may also list and describe every repository.
resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.key}"
}

locals {
  # Known only when the rights are there, so that no node starts without them.
  node_role_arn = aws_iam_role.node.arn
  tags          = { Project = "evernas", Environment = var.name }

  # NVIDIA's device plugin runs where this label is.
  gpu_label = { "nvidia.com/gpu.present" = "true" }
  gpu_taint = { key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }
}

module "system_pool" {
  source = "../node-pool"

  name               = "system"
  cluster_name       = module.cluster.name_when_networked
  kubernetes_version = var.kubernetes_version
  node_role_arn      = local.node_role_arn
  subnet_ids         = module.network.private_subnet_ids
  instance_types     = var.system_pool.instance_types
  capacity_type      = "ON_DEMAND"
  min_size           = var.system_pool.min_size
  max_size           = var.system_pool.max_size
  labels             = { "evernas.dev/pool" = "system" }
  tags               = local.tags

  depends_on = [aws_iam_role_policy_attachment.node]
}

# Training is killed and resumed at no loss, so it takes spot; several types, since one may be gone.
module "gpu_pool" {
  source = "../node-pool"

  name               = "gpu"
  cluster_name       = module.cluster.name_when_networked
  kubernetes_version = var.kubernetes_version
  node_role_arn      = local.node_role_arn
  subnet_ids         = module.network.private_subnet_ids
  instance_types     = var.gpu_pool.instance_types
  accelerator        = "nvidia"
  capacity_type      = "SPOT"
  min_size           = 0
  max_size           = var.gpu_pool.max_size
  disk_gb            = var.gpu_pool.disk_gb
  labels             = merge({ "evernas.dev/pool" = "gpu" }, local.gpu_label)
  taints             = [local.gpu_taint]
  tags               = local.tags

  depends_on = [aws_iam_role_policy_attachment.node]
}

# A device is one instance type, on demand and never repaired under a measurement; its taint keeps all but its own
# branch of the pipeline away, so that nothing runs beside a measurement.
module "device_pool" {
  source   = "../node-pool"
  for_each = var.devices

  name               = "device-${each.key}"
  cluster_name       = module.cluster.name_when_networked
  kubernetes_version = var.kubernetes_version
  node_role_arn      = local.node_role_arn
  subnet_ids         = module.network.private_subnet_ids
  instance_types     = [each.value.instance_type]
  architecture       = each.value.architecture
  accelerator        = each.value.accelerator
  physical_cores     = each.value.physical_cores
  capacity_type      = "ON_DEMAND"
  min_size           = 0
  max_size           = each.value.max_size
  auto_repair        = false
  labels = merge(
    { "evernas.dev/pool" = "device", "evernas.dev/device" = each.key },
    each.value.accelerator == null ? {} : local.gpu_label,
  )
  taints = concat(
    [{ key = "evernas.dev/device", value = each.key, effect = "NO_SCHEDULE" }],
    each.value.accelerator == null ? [] : [local.gpu_taint],
  )
  tags = local.tags

  depends_on = [aws_iam_role_policy_attachment.node]
}
