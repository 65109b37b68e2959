output "name" {
  description = "Name of the pool, once its nodes are there."
  value       = aws_eks_node_group.this.node_group_name
}

output "labels" {
  description = "Labels that a node selector names."
  value       = var.labels
}

output "taints" {
  description = "Taints that a pod must tolerate."
  value       = var.taints
}

output "min_size" {
  description = "Fewest nodes."
  value       = var.min_size
}

output "capacity_type" {
  description = "ON_DEMAND or SPOT."
  value       = var.capacity_type
}
