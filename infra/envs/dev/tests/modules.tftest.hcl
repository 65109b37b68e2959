# Settings of single modules that no output shows.

mock_provider "aws" { source = "../../tests/mocks" }

variables {
  name               = "evernas-test"
  partition          = "aws"
  region             = "eu-central-1"
  account_id         = "123456789012"
  key_arn            = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  logs_key_arn       = "arn:aws:kms:eu-central-1:123456789012:key/11111111-1111-1111-1111-111111111111"
  secrets_key_arn    = "arn:aws:kms:eu-central-1:123456789012:key/22222222-2222-2222-2222-222222222222"
  log_retention_days = 365
  subnet_ids         = ["subnet-1", "subnet-2"]

  # storage
  bucket_name       = "evernas-test-123456789012"
  prefixes          = { raw = "raw/", snapshots = "snapshots/", candidates = "candidates/", gate = "gate/", registry = "registry/", mlflow = "mlflow/" }
  decider_role_arn  = "arn:aws:iam::123456789012:role/evernas-test-decider"
  promoter_role_arn = "arn:aws:iam::123456789012:role/evernas-test-promoter"
  ingest_role_arn   = "arn:aws:iam::123456789012:role/evernas-test-ingest"
  noncurrent_days   = 30
  force_destroy     = false

  # cluster
  kubernetes_version  = "1.34"
  public_access_cidrs = []
  system_pool         = "system"
  access_entries      = {}
  addon_versions = {
    aws-ebs-csi-driver     = "v1.48.0-eksbuild.2"
    coredns                = "v1.12.4-eksbuild.1"
    eks-pod-identity-agent = "v1.3.8-eksbuild.2"
    kube-proxy             = "v1.34.0-eksbuild.4"
    metrics-server         = "v0.8.0-eksbuild.2"
    vpc-cni                = "v1.20.3-eksbuild.1"
  }

  # database
  vpc_id                   = "vpc-1"
  client_security_group_id = "sg-1"
  engine_version           = "17"
  instance_class           = "db.t4g.small"
  storage_gb               = 20
  multi_az                 = false
  backup_days              = 7
  deletion_protection      = true

  # images
  repositories = ["core", "runner-openvino"]
  keep         = 100
  force_delete = false

  # network
  cidr                = "10.20.0.0/16"
  availability_zones  = ["eu-central-1a", "eu-central-1b"]
  single_nat_gateway  = false
  interface_endpoints = ["ecr.api", "ecr.dkr", "sts"]
}

run "buckets_are_private_encrypted_versioned_and_tls_only" {
  command = plan
  module { source = "../../modules/storage" }

  assert {
    condition = alltrue([
      for block in aws_s3_bucket_public_access_block.this :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ]) && toset(keys(aws_s3_bucket_public_access_block.this)) == toset(["data", "logs"])
    error_message = "A bucket lets something public through."
  }

  assert {
    condition     = alltrue([for versioning in aws_s3_bucket_versioning.this : versioning.versioning_configuration[0].status == "Enabled"])
    error_message = "A bucket keeps no versions."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.data.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.key_arn
    error_message = "The data bucket is not encrypted with the data key."
  }

  assert {
    condition = alltrue([
      for policy in [aws_s3_bucket_policy.data.policy, aws_s3_bucket_policy.logs.policy] : length([
        for statement in jsondecode(policy).Statement : statement
        if statement.Effect == "Deny" && try(statement.Condition.Bool["aws:SecureTransport"] == "false", false)
      ]) == 1
    ])
    error_message = "A bucket can be read without TLS."
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_s3_bucket_policy.data.policy).Statement :
      jsonencode(statement.Condition.ArnNotEquals["aws:PrincipalArn"]) == (
        statement.Sid == "GateIsReadByTheDeciderAlone" ? jsonencode([var.decider_role_arn]) : jsonencode([var.decider_role_arn, var.promoter_role_arn])
      )
      if contains(["GateIsReadByTheDeciderAlone", "RegistryIsWrittenByDeciderAndPromoterAlone"], statement.Sid)
    ])
    error_message = "Another role than those of decision and promotion passes the bucket's denials."
  }

  assert {
    condition     = aws_s3_bucket_notification.data.eventbridge
    error_message = "EventBridge hears nothing of new data."
  }

  assert {
    condition     = !anytrue([for rule in aws_s3_bucket_lifecycle_configuration.data.rule : strcontains(rule.id, "registry")])
    error_message = "A lifecycle rule expires versions of the registry."
  }
}

run "cluster_is_private_encrypted_logged_and_has_no_silent_administrator" {
  command = plan
  module { source = "../../modules/cluster" }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "Without public_access_cidrs the API must be private."
  }

  assert {
    condition     = toset(aws_eks_cluster.this.enabled_cluster_log_types) == toset(["api", "audit", "authenticator", "controllerManager", "scheduler"])
    error_message = "A log of the control plane is off."
  }

  assert {
    condition     = one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"]) && one(one(aws_eks_cluster.this.encryption_config).provider).key_arn == var.secrets_key_arn
    error_message = "Kubernetes secrets are not encrypted with their key."
  }

  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "Somebody is administrator without an access entry."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "NetworkPolicies are not enforced."
  }
}

run "database_is_encrypted_tls_only_and_keeps_its_own_password" {
  command = plan
  module { source = "../../modules/database" }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "PostgreSQL takes connections without TLS."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.manage_master_user_password && !aws_db_instance.this.publicly_accessible
    error_message = "The database is not encrypted, not private, or its password is in Terraform's state."
  }

  assert {
    condition     = aws_db_instance.this.deletion_protection && !aws_db_instance.this.skip_final_snapshot
    error_message = "With deletion_protection the database can still go, or goes without a snapshot."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.nodes.referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.nodes.from_port == 5432
    error_message = "Others than the nodes reach the database."
  }
}

run "images_never_change_and_are_scanned" {
  command = plan
  module { source = "../../modules/images" }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE" && repository.image_scanning_configuration[0].scan_on_push])
    error_message = "A tag can move, or a push is not scanned."
  }
}

run "network_has_no_public_addresses_and_a_nat_gateway_a_zone" {
  command = plan
  module { source = "../../modules/network" }

  assert {
    condition     = length(aws_subnet.private) == 2 && length(aws_nat_gateway.this) == 2 && alltrue([for subnet in aws_subnet.public : !subnet.map_public_ip_on_launch])
    error_message = "A zone lacks its subnet or its way out, or a public subnet gives addresses away."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL"
    error_message = "Flow logs leave traffic out."
  }

  assert {
    condition     = contains([for statement in jsondecode(aws_vpc_endpoint.s3.policy).Statement : statement.Sid if statement.Effect == "Deny"], "NoWritesToOtherAccounts")
    error_message = "Data can be written to buckets of other accounts."
  }
}

run "cluster_is_public_for_named_addresses_alone" {
  command = plan
  module { source = "../../modules/cluster" }

  variables { public_access_cidrs = ["192.0.2.0/24"] }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["192.0.2.0/24"])
    error_message = "The API is not open to the named addresses alone."
  }
}
