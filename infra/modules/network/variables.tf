variable "name" {
  description = "Prefix of every name, as evernas-dev."
  type        = string
}

variable "region" {
  description = "AWS region of the network."
  type        = string
}

variable "account_id" {
  description = "AWS account; nothing is written to S3 buckets of others through the endpoint."
  type        = string
}

variable "cidr" {
  description = "Address range of the network, a /16 to /20."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr is \"${var.cidr}\": give an IPv4 range between /16 and /20, as 10.20.0.0/16; every pod needs an address."
  }
}

variable "availability_zones" {
  description = "Availability zones, at least two: EKS and RDS ask for them."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) >= 2 && length(var.availability_zones) <= 6 && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones names ${length(var.availability_zones)} zones: name two to six different ones."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway for all zones: cheaper, and the network's way out falls with its zone."
  type        = bool
}

variable "interface_endpoints" {
  description = "AWS services that are reached by interface endpoints (each costs by the hour and zone). STS and ECR are required."
  type        = set(string)

  validation {
    condition     = length(setsubtract(["ecr.api", "ecr.dkr", "sts"], var.interface_endpoints)) == 0
    error_message = "interface_endpoints lacks ${join(", ", setsubtract(["ecr.api", "ecr.dkr", "sts"], var.interface_endpoints))}: nodes need them to start without the NAT gateway."
  }
}

variable "log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number
}

variable "logs_key_arn" {
  description = "KMS key of log groups."
  type        = string
}
