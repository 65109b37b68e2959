variable "name" {
  description = "Name of the environment and prefix of all that belongs to it, as evernas-dev."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,24}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\": 4 to 26 of a-z, 0-9 and -, beginning with a letter; role names take no more."
  }
}

variable "bucket_name" {
  description = "Name of the data bucket; <name>-<account> if not given."
  type        = string
  default     = null
}

variable "cidr" {
  description = "Address range of the network."
  type        = string
}

variable "availability_zones" {
  description = "Availability zones, at least two."
  type        = list(string)
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones, or one in each."
  type        = bool
}

variable "interface_endpoints" {
  description = "AWS services reached by interface endpoints."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "sts"]
}

variable "kubernetes_version" {
  description = "Kubernetes version, as 1.34."
  type        = string
}

variable "public_access_cidrs" {
  description = "Addresses that reach the Kubernetes API from outside; none makes it private."
  type        = list(string)
  default     = []
}

variable "addon_versions" {
  description = "Pinned version of each EKS add-on."
  type        = map(string)
}

variable "access_entries" {
  description = "Who may use the Kubernetes API."
  type = map(object({
    principal_arn     = string
    policy            = optional(string)
    namespaces        = optional(list(string), [])
    kubernetes_groups = optional(list(string), [])
  }))

  validation {
    condition     = length(var.access_entries) > 0
    error_message = "access_entries is empty: not even whoever runs Terraform could use the cluster; name an administrator's role."
  }
}

variable "system_pool" {
  description = "Pool of everything that needs no device: KFP, the chart, and steps on CPUs."
  type = object({
    instance_types = list(string)
    min_size       = number
    max_size       = number
  })

  validation {
    condition     = var.system_pool.min_size >= 2
    error_message = "system_pool.min_size is ${var.system_pool.min_size}: two nodes at least, or the receiver and CoreDNS fall with one."
  }
}

variable "gpu_pool" {
  description = "Spot pool for training; it is at zero while nothing trains."
  type = object({
    instance_types = list(string)
    max_size       = number
    disk_gb        = optional(number, 150)
  })

  validation {
    condition     = alltrue([for type in var.gpu_pool.instance_types : can(regex("^(g|p)[0-9]", type))])
    error_message = "gpu_pool.instance_types is ${jsonencode(var.gpu_pool.instance_types)}: name NVIDIA types, as g5.xlarge."
  }
}

variable "devices" {
  description = "Devices that champions run on, by the name in the project's config: each is a pool of one instance type."
  type = map(object({
    instance_type  = string
    architecture   = optional(string, "amd64")
    accelerator    = optional(string)
    physical_cores = optional(number)
    max_size       = optional(number, 1)
  }))

  validation {
    condition     = alltrue([for name in keys(var.devices) : can(regex("^[a-z0-9][a-z0-9_-]{0,40}$", name))])
    error_message = "devices has the names ${jsonencode(keys(var.devices))}: use a-z, 0-9, - and _, as the config's device names."
  }

  validation {
    condition     = alltrue([for device in values(var.devices) : !can(regex("^t[0-9]", device.instance_type))])
    error_message = "devices has a burstable type (t3, t4g, …): its speed depends on the credits that are left, so what is measured is not the device."
  }

  validation {
    condition = alltrue([
      for device in values(var.devices) : (device.architecture == "arm64") == can(regex("^[a-z]+[0-9]+g[a-z]*\\.", device.instance_type))
    ])
    error_message = "devices has a type whose architecture is another than it says: Graviton types (c7g, m8g, …) are arm64, all others amd64."
  }
}

variable "database" {
  description = "PostgreSQL for MLflow and the inbox."
  type = object({
    engine_version = string
    instance_class = string
    storage_gb     = number
    multi_az       = bool
    backup_days    = number
  })
}

variable "image_repositories" {
  description = "Images that have a repository."
  type        = set(string)
  default     = ["core", "train", "runner", "runner-openvino", "runner-cuda", "mlflow"]
}

variable "images_kept" {
  description = "Images kept in each repository."
  type        = number
  default     = 100
}

variable "release_namespace" {
  description = "Namespace of the chart's release."
  type        = string
  default     = "evernas"
}

variable "runs_namespace" {
  description = "Namespace that KFP starts runs in."
  type        = string
  default     = "kubeflow"
}

variable "github" {
  description = "The GitHub repository whose workflows may take roles; null for none."
  type = object({
    repository      = string
    branch          = optional(string, "main")
    environment     = string
    create_provider = optional(bool, true)
  })
  default = null
}

variable "maintenance_role_arns" {
  description = "Roles that may read and erase in gate/ and registry/; none by default."
  type        = list(string)
  default     = []
}

variable "noncurrent_days" {
  description = "Days that replaced and deleted objects can be brought back."
  type        = number
  default     = 30

  validation {
    condition     = var.noncurrent_days >= 7
    error_message = "noncurrent_days is ${var.noncurrent_days}: keep at least 7, or a mistake on Friday is final on Monday."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 365

  validation {
    condition     = contains([30, 60, 90, 120, 180, 365, 400, 731], var.log_retention_days)
    error_message = "log_retention_days is ${var.log_retention_days}: CloudWatch takes 30, 60, 90, 120, 180, 365, 400 or 731."
  }
}

variable "deletion_protection" {
  description = "Whether database, bucket and images refuse to be destroyed."
  type        = bool
}

variable "list_whole_bucket" {
  description = "Lets evernas' accounts list all names of the bucket, so that a missing key is a 404 and not a 403 (infra/README.md, what is not known)."
  type        = bool
  default     = false
}
