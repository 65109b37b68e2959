variable "name" {
  description = "Name of the pool."
  type        = string
}

variable "cluster_name" {
  description = "Cluster that the nodes join; known once its network plug-in is there."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version of the nodes."
  type        = string
}

variable "node_role_arn" {
  description = "Role of the nodes."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets that nodes are started in."
  type        = list(string)
}

variable "instance_types" {
  description = "Instance types, in order of preference; one only where its speed is what is measured."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0
    error_message = "instance_types is empty: name at least one, as m7i.xlarge."
  }
}

variable "architecture" {
  description = "amd64 or arm64."
  type        = string
  default     = "amd64"

  validation {
    condition     = contains(["amd64", "arm64"], var.architecture)
    error_message = "architecture is \"${var.architecture}\": use amd64 or arm64."
  }
}

variable "accelerator" {
  description = "nvidia, or null where there is none."
  type        = string
  default     = null

  validation {
    condition     = var.accelerator == null || var.accelerator == "nvidia"
    error_message = "accelerator is \"${coalesce(var.accelerator, "null")}\": use nvidia, or leave it out."
  }
}

variable "physical_cores" {
  description = "Cores of the instance type; given, each runs one thread. Null leaves the type's default."
  type        = number
  default     = null
}

variable "capacity_type" {
  description = "ON_DEMAND or SPOT."
  type        = string

  validation {
    condition     = contains(["ON_DEMAND", "SPOT"], var.capacity_type)
    error_message = "capacity_type is \"${var.capacity_type}\": use ON_DEMAND or SPOT."
  }
}

variable "min_size" {
  description = "Fewest nodes; 0 lets the pool cost nothing while it is idle."
  type        = number
  default     = 0
}

variable "max_size" {
  description = "Most nodes."
  type        = number

  validation {
    condition     = var.max_size >= 1 && var.max_size >= var.min_size
    error_message = "max_size is ${var.max_size} with min_size ${var.min_size}: at least one node, and no fewer than min_size."
  }
}

variable "disk_gb" {
  description = "Size of a node's disk in GB."
  type        = number
  default     = 60

  validation {
    condition     = var.disk_gb >= 20
    error_message = "disk_gb is ${var.disk_gb}: images alone need 20."
  }
}

variable "labels" {
  description = "Labels that node selectors match."
  type        = map(string)
}

variable "taints" {
  description = "Taints that keep other pods away."
  type        = list(object({ key = string, value = string, effect = string }))
  default     = []
}

variable "auto_repair" {
  description = "Whether EKS replaces nodes that it takes for broken; off where a measurement must not be disturbed."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of instances and disks, which default_tags do not reach."
  type        = map(string)
  default     = {}
}
