# One key for each kind of thing that is encrypted, so that the right to read one is no right to read another.

locals {
  root = "arn:${var.partition}:iam::${var.account_id}:root"

  # IAM policies of this account decide who uses a key: no principal is named here, so none outlives its role.
  by_iam = {
    Sid       = "AccountDecidesByIam"
    Effect    = "Allow"
    Principal = { AWS = local.root }
    Action    = "kms:*"
    Resource  = "*"
  }

  # CloudWatch encrypts log groups as a service, and only those of this account and region.
  for_logs = {
    Sid       = "CloudWatchEncryptsLogGroups"
    Effect    = "Allow"
    Principal = { Service = "logs.${var.region}.amazonaws.com" }
    Action    = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    Resource  = "*"
    Condition = {
      ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:*" }
    }
  }

  keys = {
    data     = { purpose = "objects of the data bucket and images", statements = [local.by_iam] }
    cluster  = { purpose = "Kubernetes secrets in etcd", statements = [local.by_iam] }
    database = { purpose = "the database, its backups, its insights and its managed password", statements = [local.by_iam] }
    logs     = { purpose = "log groups", statements = [local.by_iam, local.for_logs] }
  }
}

resource "aws_kms_key" "this" {
  for_each = local.keys

  description             = "${var.name}: ${each.value.purpose}"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}

resource "aws_kms_alias" "this" {
  for_each = local.keys

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
