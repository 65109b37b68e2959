output "endpoint" {
  description = "Host and port of PostgreSQL."
  value       = aws_db_instance.this.endpoint
}

output "host" {
  description = "Host of PostgreSQL."
  value       = aws_db_instance.this.address
}

output "admin_secret_arn" {
  description = "Secret in Secrets Manager that holds the administrator's name and password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}
