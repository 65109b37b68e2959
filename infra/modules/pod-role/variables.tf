variable "name" {
  description = "Name of the role."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the only cluster whose pods may take the role."
  type        = string
}

variable "cluster_name" {
  description = "Cluster to associate the service account in; null where an add-on does it."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Kubernetes namespace of the service account."
  type        = string
}

variable "service_account" {
  description = "Name of the service account."
  type        = string
}

variable "statements" {
  description = "IAM statements of the role, each with its reason beside it where it is written."
  type        = any
  default     = []
}

variable "managed_policies" {
  description = "ARNs of policies that Amazon keeps, for Amazon's own add-ons."
  type        = list(string)
  default     = []
}
