output "region" {
  description = "AWS region."
  value       = module.platform.region
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = module.platform.cluster_name
}

output "kubeconfig_command" {
  description = "Command that makes kubectl use the cluster."
  value       = module.platform.kubeconfig_command
}

output "vpc_cidr" {
  description = "Addresses of the network: PostgreSQL's and the Kubernetes API's are among them."
  value       = module.platform.vpc_cidr
}

output "bucket" {
  description = "The data bucket."
  value       = module.platform.bucket
}

output "prefixes" {
  description = "Prefix of each role in the bucket."
  value       = module.platform.prefixes
}

output "queue_url" {
  description = "Queue of events about new data."
  value       = module.platform.queue_url
}

output "database" {
  description = "Where PostgreSQL is, and the secret with its administrator's password."
  value       = module.platform.database
}

output "role_arns" {
  description = "Role of each service account, of the autoscaler and of GitHub's workflows."
  value       = module.platform.role_arns
}

output "service_accounts" {
  description = "Namespace and name of each service account that has a role."
  value       = module.platform.service_accounts
}

output "namespaces" {
  description = "Namespace of the release and of KFP's runs."
  value       = module.platform.namespaces
}

output "repositories" {
  description = "Address of each image repository."
  value       = module.platform.repositories
}

output "pools" {
  description = "Node selector and tolerations of each pool, as a device's section of the config and the chart's values take them."
  value       = module.platform.pools
}

output "policies" {
  description = "What a security review reads, as JSON: policy and trust of each role, and the bucket's own policy."
  value       = module.platform.policies
}
