output "role_arns" {
  description = "Role of each account: ingest, training, decider, promoter, receiver, mlflow."
  value       = { for account, role in module.role : account => role.role_arn }
}

output "service_accounts" {
  description = "Namespace and name of each service account."
  value = {
    for account, grant in local.accounts : account => { namespace = grant.namespace, name = "${var.service_account_prefix}-${account}" }
  }
}

output "policies" {
  description = "Policy of each account as JSON, for tests and reviews."
  value       = { for account, role in module.role : account => role.policy }
}

output "trusts" {
  description = "Who may take each role, as JSON."
  value       = { for account, role in module.role : account => role.trust }
}
