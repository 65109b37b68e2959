variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is \"${var.region}\": write it as eu-central-1."
  }
}

variable "account_id" {
  description = "AWS account of this environment; Terraform refuses to touch another."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is \"${var.account_id}\": it has twelve digits; `aws sts get-caller-identity` shows it."
  }
}

variable "cidr" {
  description = "Address range of the network; choose one that no peer uses."
  type        = string
  default     = "10.20.0.0/16"
}

variable "availability_zones" {
  description = "Availability zones of the region, at least two."
  type        = list(string)
}

variable "kubernetes_version" {
  description = "Kubernetes version of control plane and nodes."
  type        = string
  default     = "1.34"
}

variable "addon_versions" {
  description = "Pinned version of each EKS add-on; `aws eks describe-addon-versions --kubernetes-version 1.34` lists what there is."
  type        = map(string)
}

variable "public_access_cidrs" {
  description = "Addresses that reach the Kubernetes API from outside, as those of a VPN; none makes it private."
  type        = list(string)
  default     = []
}

variable "access_entries" {
  description = "Who may use the Kubernetes API: at least one administrator's role."
  type = map(object({
    principal_arn     = string
    policy            = optional(string)
    namespaces        = optional(list(string), [])
    kubernetes_groups = optional(list(string), [])
  }))
}

variable "github" {
  description = "The GitHub repository whose workflows may take roles; null for none. An account has one identity provider: create_provider is true in one environment of an account only."
  type = object({
    repository      = string
    branch          = optional(string, "main")
    environment     = optional(string, "development")
    create_provider = optional(bool, true)
  })
  default = null
}

variable "devices" {
  description = "Devices that champions run on, by the name in the project's config."
  type = map(object({
    instance_type  = string
    architecture   = optional(string, "amd64")
    accelerator    = optional(string)
    physical_cores = optional(number)
    max_size       = optional(number, 1)
  }))
  default = {
    graviton = { instance_type = "c7g.xlarge", architecture = "arm64" }
    t4       = { instance_type = "g4dn.xlarge", accelerator = "nvidia", physical_cores = 2 }
    x86      = { instance_type = "c7i.xlarge", physical_cores = 2 }
  }
}

variable "maintenance_role_arns" {
  description = "Roles of people that may read and erase in gate/ and registry/, for erasure requests and restores."
  type        = list(string)
  default     = []
}

variable "deletion_protection" {
  description = "Whether database, bucket and images refuse to be destroyed."
  type        = bool
  default     = false
}

variable "list_whole_bucket" {
  description = "Lets evernas' accounts list all names of the bucket, so that a missing key is a 404 and not a 403 (infra/README.md, what is not known)."
  type        = bool
  default     = false
}
