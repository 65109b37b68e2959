variable "name" {
  description = "Prefix of the roles, as evernas-dev."
  type        = string
}

variable "partition" {
  description = "AWS partition, as aws."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "account_id" {
  description = "AWS account."
  type        = string
}

variable "cluster_name" {
  description = "Cluster of the service accounts."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of that cluster."
  type        = string
}

variable "bucket_name" {
  description = "The data bucket."
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

  validation {
    condition     = alltrue([for prefix in values(var.prefixes) : can(regex("^[a-z0-9][a-z0-9/-]*/$", prefix))])
    error_message = "prefixes is ${jsonencode(var.prefixes)}: each ends in / and has no wildcard, or a grant would reach further than it says."
  }

  validation {
    condition = alltrue(flatten([
      for a, one in var.prefixes : [for b, other in var.prefixes : a == b || !startswith(one, other)]
    ]))
    error_message = "prefixes is ${jsonencode(var.prefixes)}: one lies within another, so a grant on one would reach the other; give each a place of its own."
  }
}

variable "data_key_arn" {
  description = "KMS key of the bucket's objects."
  type        = string
}

variable "queue_name" {
  description = "Queue of events about new data."
  type        = string
}

variable "release_namespace" {
  description = "Namespace of the chart's release: receiver, MLflow, promotion."
  type        = string
}

variable "runs_namespace" {
  description = "Namespace that KFP starts runs in."
  type        = string

  validation {
    condition     = var.runs_namespace != var.release_namespace
    error_message = "runs_namespace and release_namespace are both \"${var.runs_namespace}\": training would share a namespace with the keys of whoever decides; use two."
  }
}

variable "service_account_prefix" {
  description = "Service accounts are called <prefix>-ingest, -training, -decider, -promoter, -receiver and -mlflow."
  type        = string
}

variable "list_whole_bucket" {
  description = "Lets the accounts list all names of the bucket (no contents). S3 answers 403 instead of 404 for a key that is not there to whoever may list by prefix only; true is for software that tells the two apart."
  type        = bool
}
