output "role_arn" {
  description = "ARN of the role."
  value       = aws_iam_role.this.arn
}

output "policy" {
  description = "The role's own policy as JSON, for tests and reviews."
  value       = jsonencode({ Version = "2012-10-17", Statement = var.statements })
}

output "trust" {
  description = "Who may take the role, as JSON."
  value       = aws_iam_role.this.assume_role_policy
}
