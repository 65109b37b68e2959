variable "name" {
  description = "Prefix of the repositories."
  type        = string
}

variable "repositories" {
  description = "Images, as core, train, runner, mlflow and one runner-<name> a further runtime."
  type        = set(string)

  validation {
    condition     = alltrue([for repository in var.repositories : can(regex("^[a-z0-9]+(-[a-z0-9]+)*$", repository))])
    error_message = "repositories has ${jsonencode(var.repositories)}: use a-z, 0-9 and single -, as runner-openvino."
  }
}

variable "key_arn" {
  description = "KMS key that images are encrypted with."
  type        = string
}

variable "keep" {
  description = "Images kept in each repository."
  type        = number

  validation {
    condition     = var.keep >= 10
    error_message = "keep is ${var.keep}: keep at least 10, or a rollback may find no image."
  }
}

variable "force_delete" {
  description = "Whether destroying removes images too; false in production."
  type        = bool
}
