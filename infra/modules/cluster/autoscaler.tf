# What the cluster autoscaler may do: look at everything, change the size of this cluster's groups only.

module "autoscaler" {
  source = "../pod-role"

  name            = "${var.name}-autoscaler"
  cluster_arn     = local.arn
  cluster_name    = aws_eks_cluster.this.name
  namespace       = "kube-system"
  service_account = "cluster-autoscaler"

  statements = [
    {
      # It foresees a node of a group that has none; these calls take no resource.
      Sid    = "Look"
      Effect = "Allow"
      Action = [
        "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags",
        "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetInstanceTypesFromInstanceRequirements",
      ]
      Resource = "*"
    },
    {
      # Labels and taints of a pool at zero nodes are known from the node group.
      Sid      = "LookAtPools"
      Effect   = "Allow"
      Action   = "eks:DescribeNodegroup"
      Resource = "arn:${var.partition}:eks:${var.region}:${var.account_id}:nodegroup/${var.name}/*"
    },
    {
      # The tag is set by EKS on the groups of this cluster, and on no others.
      Sid       = "ScaleOwnPools"
      Effect    = "Allow"
      Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
      Resource  = "arn:${var.partition}:autoscaling:${var.region}:${var.account_id}:autoScalingGroup:*"
      Condition = { StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}" = "owned" } }
    },
  ]
}
