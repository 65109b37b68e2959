output "key_arns" {
  description = "ARN of each key: data, cluster, database, logs."
  value       = { for name, key in aws_kms_key.this : name => key.arn }
}
