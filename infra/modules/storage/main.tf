# The data bucket, and the bucket for its access logs: private, encrypted, versioned, TLS only.

locals {
  bucket_arn = "arn:${var.partition}:s3:::${var.bucket_name}"

  buckets = {
    data = aws_s3_bucket.data.id
    logs = aws_s3_bucket.logs.id
  }
}

resource "aws_s3_bucket" "data" {
  #checkov:skip=CKV_AWS_144:One region by decision: versions and the journal bring back what is lost in it; a second copy of personal data is one more place to erase from
  bucket        = var.bucket_name
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket" "logs" {
  #checkov:skip=CKV_AWS_144:Access logs are no source of anything; losing them with the region loses nothing that runs
  #checkov:skip=CKV_AWS_145:S3 delivers access logs only to buckets that are encrypted with its own key
  #checkov:skip=CKV_AWS_18:Logging the log bucket into itself would never end
  #checkov:skip=CKV2_AWS_62:Nothing is to happen when a log arrives
  bucket        = "${var.bucket_name}-logs"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = each.value
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets

  bucket = each.value
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = each.value
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.key_arn
    }
  }
}

# S3 delivers access logs to buckets with its own keys only.
resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_logging" "data" {
  bucket        = aws_s3_bucket.data.id
  target_bucket = aws_s3_bucket.logs.id
  target_prefix = "data/"
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  # What never became whole is no data.
  rule {
    id     = "abort-unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload { days_after_initiation = 3 }
  }

  # Old versions are the way back from a mistake, for so long; then an erasure is complete. registry/ is not among
  # them: the journal and the champions' bytes are kept.
  dynamic "rule" {
    for_each = toset([for prefix in values(var.prefixes) : prefix if prefix != var.prefixes.registry])
    content {
      id     = "expire-old-versions-of-${trimsuffix(rule.value, "/")}"
      status = "Enabled"
      filter { prefix = rule.value }
      noncurrent_version_expiration { noncurrent_days = var.noncurrent_days }
      expiration { expired_object_delete_marker = true }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration { days = var.log_retention_days }
    noncurrent_version_expiration { noncurrent_days = 1 }
    abort_incomplete_multipart_upload { days_after_initiation = 3 }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
