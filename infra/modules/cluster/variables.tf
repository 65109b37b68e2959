variable "name" {
  description = "Name of the cluster, and prefix of what belongs to it."
  type        = string
}

variable "partition" {
  description = "AWS partition, as aws."
  type        = string
}

variable "region" {
  description = "AWS region of the cluster."
  type        = string
}

variable "account_id" {
  description = "AWS account of the cluster."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version, as 1.34."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version is \"${var.kubernetes_version}\": write major and minor version, as 1.34."
  }
}

variable "subnet_ids" {
  description = "Private subnets, in at least two zones."
  type        = list(string)
}

variable "public_access_cidrs" {
  description = "Addresses that reach the Kubernetes API from outside; none makes it private."
  type        = list(string)

  validation {
    condition     = alltrue([for cidr in var.public_access_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 16, false)])
    error_message = "public_access_cidrs has ${jsonencode(var.public_access_cidrs)}: name ranges of /16 or smaller; the API is not opened to the world."
  }
}

variable "secrets_key_arn" {
  description = "KMS key that Kubernetes secrets are encrypted with."
  type        = string
}

variable "logs_key_arn" {
  description = "KMS key of log groups."
  type        = string
}

variable "log_retention_days" {
  description = "Days that the control plane's logs are kept."
  type        = number
}

variable "addon_versions" {
  description = "Pinned version of each EKS add-on."
  type        = map(string)

  validation {
    condition = length(setsubtract(
      ["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"], keys(var.addon_versions)
    )) == 0
    error_message = "addon_versions lacks ${join(", ", setsubtract(["aws-ebs-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy", "metrics-server", "vpc-cni"], keys(var.addon_versions)))}: pin each."
  }

  validation {
    condition     = alltrue([for version in values(var.addon_versions) : can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+-eksbuild\\.[0-9]+$", version))])
    error_message = "addon_versions is ${jsonencode(var.addon_versions)}: pin exact versions, as v1.20.4-eksbuild.2; `aws eks describe-addon-versions` lists them."
  }
}

variable "access_entries" {
  description = "Who may use the Kubernetes API: an IAM principal with one of EKS's access policies (in namespaces, or everywhere) or with Kubernetes groups that RBAC binds."
  type = map(object({
    principal_arn     = string
    policy            = optional(string)
    namespaces        = optional(list(string), [])
    kubernetes_groups = optional(list(string), [])
  }))

  validation {
    condition     = alltrue([for entry in values(var.access_entries) : entry.policy != null || length(entry.kubernetes_groups) > 0])
    error_message = "access_entries has an entry with neither policy nor kubernetes_groups: it would allow nothing; give one or remove it."
  }

  validation {
    condition     = alltrue([for entry in values(var.access_entries) : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[^*?]+$", entry.principal_arn))])
    error_message = "access_entries has ${jsonencode([for entry in values(var.access_entries) : entry.principal_arn])}: name whole ARNs of roles or users, no account and no wildcard."
  }

  validation {
    condition     = alltrue([for entry in values(var.access_entries) : entry.policy == null || can(regex("^AmazonEKS[A-Za-z]+Policy$", entry.policy))])
    error_message = "access_entries names a policy that is none of EKS's: write its name alone, as AmazonEKSViewPolicy."
  }

  validation {
    condition     = alltrue(flatten([for entry in values(var.access_entries) : [for group in entry.kubernetes_groups : !startswith(group, "system:")]]))
    error_message = "access_entries names a group that begins with system:, which Kubernetes reserves: bind rights to a group of your own."
  }
}

variable "system_pool" {
  description = "Name of the system node pool, which add-ons wait for."
  type        = string
}
