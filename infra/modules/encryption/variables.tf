variable "name" {
  description = "Prefix of every name, as evernas-dev."
  type        = string
}

variable "partition" {
  description = "AWS partition, as aws."
  type        = string
}

variable "region" {
  description = "AWS region of the keys."
  type        = string
}

variable "account_id" {
  description = "AWS account that owns the keys."
  type        = string
}
