variable "name" {
  description = "Name of the instance."
  type        = string
}

variable "partition" {
  description = "AWS partition, as aws."
  type        = string
}

variable "account_id" {
  description = "AWS account of the instance."
  type        = string
}

variable "vpc_id" {
  description = "The network."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets, in at least two zones."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "Group of the nodes, which alone may connect."
  type        = string
}

variable "key_arn" {
  description = "KMS key of storage, backups, insights and the managed password."
  type        = string
}

variable "logs_key_arn" {
  description = "KMS key of log groups."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL version, major or major.minor; with a major alone, minor upgrades are no change."
  type        = string

  validation {
    condition     = can(regex("^1[5-9](\\.[0-9]+)?$", var.engine_version))
    error_message = "engine_version is \"${var.engine_version}\": use PostgreSQL 15 or newer, as 17."
  }
}

variable "instance_class" {
  description = "Instance class, as db.t4g.medium."
  type        = string

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class is \"${var.instance_class}\": write it as db.t4g.medium."
  }
}

variable "storage_gb" {
  description = "Storage in GB; it grows by itself up to five times this."
  type        = number

  validation {
    condition     = var.storage_gb >= 20
    error_message = "storage_gb is ${var.storage_gb}: gp3 starts at 20."
  }
}

variable "multi_az" {
  description = "A standby in another zone."
  type        = bool
}

variable "backup_days" {
  description = "Days that one can go back to."
  type        = number

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is ${var.backup_days}: RDS keeps 1 to 35 days, and none is no backup."
  }
}

variable "log_retention_days" {
  description = "Days that the database's logs are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the instance; with it off, no final snapshot is taken either."
  type        = bool
}
