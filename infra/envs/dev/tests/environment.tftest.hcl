# The whole environment, made against a provider that answers as AWS would: who may do what, and where pods run.

mock_provider "aws" { source = "../../tests/mocks" }

variables {
  region             = "eu-central-1"
  account_id         = "123456789012"
  availability_zones = ["eu-central-1a", "eu-central-1b"]
  addon_versions = {
    aws-ebs-csi-driver     = "v1.48.0-eksbuild.2"
    coredns                = "v1.12.4-eksbuild.1"
    eks-pod-identity-agent = "v1.3.8-eksbuild.2"
    kube-proxy             = "v1.34.0-eksbuild.4"
    metrics-server         = "v0.8.0-eksbuild.2"
    vpc-cni                = "v1.20.3-eksbuild.1"
  }
  access_entries = {
    platform = { principal_arn = "arn:aws:iam::123456789012:role/platform", policy = "AmazonEKSClusterAdminPolicy" }
  }
  github = { repository = "example/evernas", environment = "promotion" }
}

run "environment" {
  command = apply

  # The whole table: a right too many or too few anywhere is a difference.
  assert {
    condition = jsonencode({
      for account, policy in output.policies.pods : account => {
        for prefix in ["raw", "snapshots", "candidates", "gate", "registry", "mlflow"] : prefix => sort(distinct(flatten([
          for statement in jsondecode(policy).Statement : statement.Action
          if anytrue([for resource in flatten([statement.Resource]) : strcontains(resource, ":::evernas-dev-123456789012/${prefix}/")])
        ])))
      }
      }) == jsonencode({
      ingest = {
        raw        = ["s3:GetObject"]
        snapshots  = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        candidates = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        gate       = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:PutObject"]
        registry   = []
        mlflow     = []
      }
      training = {
        raw        = []
        snapshots  = ["s3:GetObject"]
        candidates = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        gate       = []
        registry   = []
        mlflow     = []
      }
      decider = {
        raw        = []
        snapshots  = ["s3:GetObject"]
        candidates = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        gate       = ["s3:GetObject"]
        registry   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        mlflow     = []
      }
      promoter = {
        raw        = []
        snapshots  = []
        candidates = []
        gate       = []
        registry   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        mlflow     = []
      }
      receiver = {
        raw        = []
        snapshots  = []
        candidates = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        gate       = []
        registry   = ["s3:GetObject"]
        mlflow     = []
      }
      mlflow = {
        raw        = []
        snapshots  = []
        candidates = []
        gate       = []
        registry   = []
        mlflow     = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
      }
    })
    error_message = "An account's rights on the bucket differ from the table in infra/README.md: ${jsonencode(output.policies.pods)}"
  }

  assert {
    condition = alltrue(flatten([
      for policy in values(output.policies.pods) : [
        for statement in jsondecode(policy).Statement : [
          for resource in flatten([statement.Resource]) :
          resource != "*" && (!endswith(resource, "/*") || can(regex(":::evernas-dev-123456789012/[a-z]+/", resource)))
        ]
      ]
    ]))
    error_message = "A pod's policy names everything, or the whole bucket."
  }

  assert {
    condition = alltrue(flatten([
      for policy in concat(values(output.policies.pods), values(output.policies.github)) : [
        for statement in jsondecode(policy).Statement : [for action in flatten([statement.Action]) : !strcontains(action, "*")]
      ]
    ]))
    error_message = "A policy allows actions by wildcard."
  }

  assert {
    condition = alltrue(flatten([
      for policy in values(output.policies.pods) : [
        for statement in jsondecode(policy).Statement : can(statement.Condition.StringLike["s3:prefix"])
        if contains(flatten([statement.Action]), "s3:ListBucket")
      ]
    ]))
    error_message = "An account may list the whole bucket."
  }

  assert {
    condition = !anytrue(flatten([
      for account in ["training", "receiver", "mlflow"] : [
        for statement in jsondecode(output.policies.pods[account]).Statement : [
          for prefix in try(statement.Condition.StringLike["s3:prefix"], []) :
          can(regex("^(gate|registry|raw)", prefix)) && !(account == "receiver" && prefix == "registry/*/journal/*")
        ]
      ]
    ]))
    error_message = "Training, the receiver or MLflow may list gate/, raw/, or more of registry/ than the receiver the journal."
  }

  assert {
    condition = alltrue(flatten([
      for policy in values(output.policies.pods) : [
        for statement in jsondecode(policy).Statement : statement.Condition.StringEquals["kms:ViaService"] == "s3.eu-central-1.amazonaws.com"
        if strcontains(jsonencode(statement.Action), "kms:")
      ]
    ]))
    error_message = "A key can be used outside S3."
  }

  # Each role is one service account's of one cluster; promotion is not in the namespace that runs are started in.
  assert {
    condition = jsonencode({
      for account, trust in output.policies.pods_trust : account => one(jsondecode(trust).Statement).Condition.StringEquals
      }) == jsonencode({
      for account, namespace in { ingest            = "kubeflow", training = "kubeflow", decider = "evernas", promoter = "evernas", receiver = "evernas", mlflow = "evernas" } : account => {
        "aws:RequestTag/eks-cluster-arn"            = "arn:aws:eks:eu-central-1:123456789012:cluster/evernas-dev"
        "aws:RequestTag/kubernetes-namespace"       = namespace
        "aws:RequestTag/kubernetes-service-account" = "evernas-${account}"
      }
    })
    error_message = "A role can be taken by another service account than its own."
  }

  assert {
    condition = jsonencode({
      for name, trust in output.policies.github_trusts : name => one(jsondecode(trust).Statement).Condition
      }) == jsonencode({
      for name, subject in {
        images  = "repo:example/evernas:ref:refs/heads/main"
        train   = "repo:example/evernas:ref:refs/heads/main"
        promote = "repo:example/evernas:environment:promotion"
        } : name => {
        StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = subject
        }
      }
    })
    error_message = "A workflow's role is not bound to exactly one subject."
  }

  assert {
    condition     = !strcontains(join("", values(output.policies.github)), "s3:")
    error_message = "A workflow's token reaches data."
  }

  # What holds even for a role that is given too much elsewhere.
  assert {
    condition = length(setsubtract(
      ["GateIsReadByTheDeciderAlone", "GateIsFilledByIngestAlone", "RegistryIsWrittenByDeciderAndPromoterAlone", "RegistryKeepsItsVersions", "JournalIsCreateOnly", "TlsOnly"],
      [for statement in jsondecode(output.policies.bucket).Statement : statement.Sid if statement.Effect == "Deny" && statement.Principal == "*"],
    )) == 0
    error_message = "The bucket's policy lacks a denial."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(output.policies.bucket).Statement : statement.Effect == "Deny"])
    error_message = "The bucket's policy allows something: rights come from roles."
  }

  assert {
    condition     = output.pools.gpu.min_size == 0 && output.pools.gpu.capacity_type == "SPOT" && length(output.pools.gpu.tolerations) == 1
    error_message = "The GPU pool is not spot, tainted and at zero while idle."
  }

  assert {
    condition = alltrue([
      for device in ["graviton", "t4", "x86"] :
      output.pools[device].capacity_type == "ON_DEMAND" &&
      output.pools[device].node_selector["evernas.dev/device"] == device &&
      contains(output.pools[device].tolerations, { key = "evernas.dev/device", operator = "Equal", value = device, effect = "NoSchedule" })
    ])
    error_message = "A device's pool is not on demand, labelled and tainted with its name."
  }

  assert {
    condition     = length(output.pools.t4.tolerations) == 2 && length(output.pools.system.tolerations) == 0
    error_message = "The T4 needs the GPU's toleration beside its own, and the system pool none."
  }

  assert {
    condition     = output.kubeconfig_command == "aws eks update-kubeconfig --region eu-central-1 --name evernas-dev"
    error_message = "The command for kubectl is wrong."
  }
}

# Within a prefix the table above says nothing: this does, key by key.
run "requests" {
  command = plan
  module { source = "../../tests/asked" }

  variables {
    policies = run.environment.policies.pods
    bucket   = "arn:aws:s3:::evernas-dev-123456789012"
  }

  assert {
    condition     = length(output.wrong) == 0 && output.count > 0
    error_message = "The grants and infra/tests/asked/requests.json differ: ${join("; ", output.wrong)}."
  }
}
