# Roles that GitHub's workflows take by OIDC, without a stored key: each bound to one subject, letter by letter.

locals {
  issuer       = "token.actions.githubusercontent.com"
  provider_arn = var.create_provider ? aws_iam_openid_connect_provider.github[0].arn : "arn:${var.partition}:iam::${var.account_id}:oidc-provider/${local.issuer}"

  branch      = "repo:${var.repository}:ref:refs/heads/${var.branch}"
  environment = "repo:${var.repository}:environment:${var.environment}"

  see_cluster = {
    # The address and certificate that kubectl needs. What it may do there, the access entry's group decides.
    Sid      = "FindCluster"
    Effect   = "Allow"
    Action   = "eks:DescribeCluster"
    Resource = var.cluster_arn
  }

  roles = {
    # Builds and pushes images. It starts nothing and reads no data.
    images = {
      subject = local.branch
      statements = [
        # The login to a registry takes no resource.
        { Sid = "LogIn", Effect = "Allow", Action = "ecr:GetAuthorizationToken", Resource = "*" },
        # Push, and read back what was pushed to sign it. Tags are immutable, so this replaces no image.
        {
          Sid    = "Push"
          Effect = "Allow"
          Action = [
            "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
            "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
          ]
          Resource = "arn:${var.partition}:ecr:${var.region}:${var.account_id}:repository/${var.name}/*"
        },
      ]
    }

    # Uploads pipeline versions and starts runs, as a member of a Kubernetes group. It has no data and no image rights.
    train = { subject = local.branch, statements = [local.see_cluster] }

    # Asks for the promotion Job, as a member of another group. Neither gate/ nor registry/ is its own to touch: the Job
    # in the cluster decides, so a stolen workflow token cannot write a champion.
    promote = { subject = local.environment, statements = [local.see_cluster] }
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  count = var.create_provider ? 1 : 0

  url            = "https://${local.issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "this" {
  for_each = local.roles

  name                 = "${var.name}-github-${each.key}"
  description          = "Workflows of ${each.value.subject}"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OneSubject"
      Effect    = "Allow"
      Principal = { Federated = local.provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      # StringEquals, not StringLike: no pull request, fork, tag or other branch has this subject. A job that names an
      # environment has the environment as its subject, and so cannot take the branch's roles, nor the other way round.
      Condition = {
        StringEquals = {
          "${local.issuer}:aud" = "sts.amazonaws.com"
          "${local.issuer}:sub" = each.value.subject
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.roles

  name   = "grants"
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value.statements })
}
