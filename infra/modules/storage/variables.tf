variable "name" {
  description = "Prefix of queue and rule, as evernas-dev."
  type        = string
}

variable "bucket_name" {
  description = "Name of the data bucket; unique in the world."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,56}[a-z0-9]$", var.bucket_name))
    error_message = "bucket_name is \"${var.bucket_name}\": 3 to 58 of a-z, 0-9 and -; with -logs behind it S3 takes 63."
  }
}

variable "partition" {
  description = "AWS partition, as aws."
  type        = string
}

variable "region" {
  description = "AWS region of the bucket."
  type        = string
}

variable "account_id" {
  description = "AWS account that owns the bucket."
  type        = string
}

variable "prefixes" {
  description = "Prefix of each role in the bucket, each ending in /."
  type = object({
    raw        = string
    snapshots  = string
    candidates = string
    gate       = string
    registry   = string
    mlflow     = string
  })
}

variable "key_arn" {
  description = "KMS key that objects are encrypted with."
  type        = string
}

variable "decider_role_arn" {
  description = "Role of the Job that decides: alone reads gate/, and writes registry/."
  type        = string
}

variable "promoter_role_arn" {
  description = "Role of the promotion Job, after a person's approval: writes registry/ too."
  type        = string
}

variable "ingest_role_arn" {
  description = "Role of ingest: alone fills gate/."
  type        = string
}

variable "maintenance_role_arns" {
  description = "Roles of people that may read and erase in gate/ and registry/, for erasure requests and restores; none by default."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.maintenance_role_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+$", arn))])
    error_message = "maintenance_role_arns has ${jsonencode(var.maintenance_role_arns)}: name whole role ARNs, no wildcards."
  }
}

variable "noncurrent_days" {
  description = "Days that replaced and deleted objects can be brought back; an erasure is complete after them."
  type        = number
}

variable "log_retention_days" {
  description = "Days that access logs are kept."
  type        = number
}

variable "force_destroy" {
  description = "Whether destroying removes all objects too; false in production."
  type        = bool
}
