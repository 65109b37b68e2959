output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster, known before it exists."
  value       = local.arn
}

output "security_group_id" {
  description = "Group of the control plane and of all nodes."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "autoscaler_role_arn" {
  description = "Role of the cluster autoscaler."
  value       = module.autoscaler.role_arn
}

# Nodes come after the network plug-in: whoever makes them asks for this name.
output "name_when_networked" {
  description = "Name of the cluster, once its network add-ons are there."
  value       = aws_eks_cluster.this.name
  depends_on  = [aws_eks_addon.before_nodes]
}
