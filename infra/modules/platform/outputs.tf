output "region" {
  description = "AWS region."
  value       = local.region
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = module.cluster.name
}

output "kubeconfig_command" {
  description = "Command that makes kubectl use the cluster."
  value       = "aws eks update-kubeconfig --region ${local.region} --name ${module.cluster.name}"
}

output "vpc_cidr" {
  description = "Addresses of the network: PostgreSQL's and the Kubernetes API's are among them."
  value       = module.network.cidr
}

output "bucket" {
  description = "The data bucket."
  value       = module.storage.bucket
}

output "prefixes" {
  description = "Prefix of each role in the bucket."
  value       = local.prefixes
}

output "queue_url" {
  description = "Queue of events about new data."
  value       = module.storage.queue_url
}

output "database" {
  description = "Where PostgreSQL is, and the secret with its administrator's password."
  value = {
    host             = module.database.host
    port             = 5432
    admin_secret_arn = module.database.admin_secret_arn
  }
}

output "role_arns" {
  description = "Role of each service account, of the autoscaler and of GitHub's workflows."
  value = {
    pods       = module.grants.role_arns
    autoscaler = module.cluster.autoscaler_role_arn
    github     = var.github == null ? null : module.github[0].role_arns
  }
}

output "service_accounts" {
  description = "Namespace and name of each service account that has a role."
  value       = module.grants.service_accounts
}

output "namespaces" {
  description = "Namespace of the release and of KFP's runs."
  value       = { release = var.release_namespace, runs = var.runs_namespace }
}

output "repositories" {
  description = "Address of each image repository."
  value       = module.images.repository_urls
}

output "pools" {
  description = "Node selector and tolerations of each pool, as a device's section of the config and the chart's values take them."
  value = {
    for name, pool in merge({ system = module.system_pool, gpu = module.gpu_pool }, { for name, pool in module.device_pool : name => pool }) : name => {
      node_selector = { for key, value in pool.labels : key => value if startswith(key, "evernas.dev/") }
      tolerations = [
        for taint in pool.taints : { key = taint.key, operator = "Equal", value = taint.value, effect = "NoSchedule" }
      ]
      capacity_type = pool.capacity_type
      min_size      = pool.min_size
    }
  }
}

output "policies" {
  description = "What a security review reads, as JSON: policy and trust of each role, and the bucket's own policy."
  value = {
    pods          = module.grants.policies
    pods_trust    = module.grants.trusts
    github        = var.github == null ? {} : module.github[0].policies
    github_trusts = var.github == null ? {} : module.github[0].trusts
    bucket        = module.storage.bucket_policy
  }
}
