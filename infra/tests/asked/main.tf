# Compares policies with requests.json: what an account's code asks for it may, and what stands under "may not" it may
# not. tests/infra/test_requests.py compares the same file with what the code does ask for.

terraform {
  required_version = ">= 1.11"
}

variable "policies" {
  description = "The policies of the pods' roles, as JSON by account."
  type        = map(string)
}

variable "bucket" {
  description = "ARN of the bucket."
  type        = string
}

locals {
  # Of each account the patterns of keys that an action is allowed on; of a listing the pattern is of its prefix.
  allowed = {
    for account, policy in var.policies : account => [
      for statement in jsondecode(policy).Statement : {
        actions = flatten([statement.Action])
        patterns = [
          for pattern in concat(flatten([statement.Resource]), try(statement.Condition.StringLike["s3:prefix"], [])) :
          "^${replace(replace(trimprefix(pattern, "${var.bucket}/"), ".", "\\."), "*", ".*")}$"
        ]
      }
    ]
  }

  asked = flatten([
    for account, kinds in jsondecode(file("${path.module}/requests.json")) : [
      for kind, actions in kinds : [
        for action, keys in actions : [for key in keys : { account = account, kind = kind, action = action, key = key }]
      ]
    ]
  ])
}

output "wrong" {
  description = "The requests that are answered otherwise than requests.json says."
  value = [
    for one in local.asked : "${one.account} ${one.kind} ${one.action} ${one.key}"
    if(one.kind == "may") != anytrue(flatten([
      for rule in local.allowed[one.account] : [for pattern in rule.patterns : can(regex(pattern, one.key))]
      if contains(rule.actions, one.action)
    ]))
  ]
}

output "count" {
  description = "How many requests were compared."
  value       = length(local.asked)
}
