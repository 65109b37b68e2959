output "role_arns" {
  description = "Roles of workflows: images, train, promote."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "trusts" {
  description = "Who may take each role, as JSON, for tests and reviews."
  value       = { for name, role in aws_iam_role.this : name => role.assume_role_policy }
}

output "policies" {
  description = "Policy of each role as JSON, for tests and reviews."
  value       = { for name, policy in aws_iam_role_policy.this : name => policy.policy }
}
