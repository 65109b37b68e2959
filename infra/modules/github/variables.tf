variable "name" {
  description = "Prefix of roles and image repositories, as evernas-dev."
  type        = string
}

variable "partition" {
  description = "AWS partition, as aws."
  type        = string
}

variable "region" {
  description = "AWS region of the image repositories."
  type        = string
}

variable "account_id" {
  description = "AWS account."
  type        = string
}

variable "cluster_arn" {
  description = "The cluster that workflows look up."
  type        = string
}

variable "repository" {
  description = "GitHub repository, as owner/name, spelled as GitHub spells it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository is \"${var.repository}\": write owner/name; a wildcard or a URL would trust nobody or everybody."
  }
}

variable "branch" {
  description = "The one branch whose workflows build images and start training; protect it."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.branch))
    error_message = "branch is \"${var.branch}\": name one branch, as main, without refs/heads/ and wildcards."
  }

  validation {
    condition     = !startswith(var.branch, "refs/")
    error_message = "branch is \"${var.branch}\": leave out refs/heads/."
  }
}

variable "environment" {
  description = "The GitHub environment whose workflows ask for promotions; give it required reviewers."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]*$", var.environment))
    error_message = "environment is \"${var.environment}\": use letters, digits, - and _; GitHub escapes others in the subject."
  }
}

variable "create_provider" {
  description = "Whether to make GitHub's identity provider; an account has one, so false where another environment made it."
  type        = bool
}
