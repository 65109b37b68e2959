# What holds whatever a role's own policy says: a bucket policy of denials, and who may deliver logs.

locals {
  transport = {
    for name, arn in { data = local.bucket_arn, logs = "${local.bucket_arn}-logs" } : name => [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [arn, "${arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "ModernTlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [arn, "${arn}/*"]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
    ]
  }

  # Roles differ in rights by their own policies; these two prefixes decide what goes into production, so a role that is
  # given too much elsewhere (an administrator's, a node's, next year's) still gets nothing here.
  by_role = [
    {
      Sid       = "GateIsReadByTheDeciderAlone"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectAttributes", "s3:GetObjectVersionAttributes"]
      Resource  = "${local.bucket_arn}/${var.prefixes.gate}*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = concat([var.decider_role_arn], var.maintenance_role_arns) } }
    },
    {
      # Ingest puts held-out rows there and can neither read them again nor take them away.
      Sid       = "GateIsFilledByIngestAlone"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]
      Resource  = "${local.bucket_arn}/${var.prefixes.gate}*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = concat([var.ingest_role_arn], var.maintenance_role_arns) } }
    },
    {
      Sid       = "RegistryIsWrittenByDeciderAndPromoterAlone"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["s3:PutObject", "s3:DeleteObject"]
      Resource  = "${local.bucket_arn}/${var.prefixes.registry}*"
      Condition = { ArnNotEquals = { "aws:PrincipalArn" = concat([var.decider_role_arn, var.promoter_role_arn], var.maintenance_role_arns) } }
    },
    merge(
      {
        # A decision is never unwritten: nobody of them removes a version.
        Sid       = "RegistryKeepsItsVersions"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:DeleteObjectVersion"
        Resource  = "${local.bucket_arn}/${var.prefixes.registry}*"
      },
      length(var.maintenance_role_arns) == 0 ? {} : {
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = var.maintenance_role_arns } }
      },
    ),
    {
      # The journal's numbers are claimed by creating: not even who decides may write over one. Parts of a multipart
      # upload carry no such header; its completion does.
      Sid       = "JournalIsCreateOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:PutObject"
      Resource  = "${local.bucket_arn}/${var.prefixes.registry}*/journal/*"
      Condition = { Null = { "s3:if-none-match" = "true" }, Bool = { "s3:ObjectCreationOperation" = "true" } }
    },
  ]

  log_delivery = [{
    Sid       = "S3DeliversAccessLogs"
    Effect    = "Allow"
    Principal = { Service = "logging.s3.amazonaws.com" }
    Action    = "s3:PutObject"
    Resource  = "${local.bucket_arn}-logs/*"
    Condition = { ArnLike = { "aws:SourceArn" = local.bucket_arn }, StringEquals = { "aws:SourceAccount" = var.account_id } }
  }]
}

resource "aws_s3_bucket_policy" "data" {
  bucket = aws_s3_bucket.data.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.transport.data, local.by_role) })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_policy" "logs" {
  bucket = aws_s3_bucket.logs.id
  policy = jsonencode({ Version = "2012-10-17", Statement = concat(local.transport.logs, local.log_delivery) })

  depends_on = [aws_s3_bucket_public_access_block.this]
}
