# Ways to AWS that do not leave its network: cheaper than NAT for images and data, and one place to bound what leaves.

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [for table in aws_route_table.private : table.id]

  # Reading is open, since ECR and other registries keep layers in buckets of their own; writing is not: data cannot
  # be carried off into a bucket of another account, not even with that account's keys.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Use", Effect = "Allow", Principal = "*", Action = "s3:*", Resource = "*" },
      {
        Sid       = "NoWritesToOtherAccounts"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:PutObject*", "s3:ReplicateObject", "s3:CreateBucket"]
        Resource  = "*"
        Condition = { StringNotEquals = { "aws:ResourceAccount" = var.account_id } }
      },
    ]
  })

  tags = { Name = "${var.name}-s3" }
}

resource "aws_security_group" "endpoints" {
  name        = "${var.name}-endpoints"
  description = "TLS from inside the network to the interface endpoints"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-endpoints" }
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  security_group_id = aws_security_group.endpoints.id
  description       = "Endpoints speak TLS and nothing else"
  cidr_ipv4         = var.cidr
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.interface_endpoints

  vpc_id              = aws_vpc.this.id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = [for subnet in aws_subnet.private : subnet.id]
  security_group_ids  = [aws_security_group.endpoints.id]

  tags = { Name = "${var.name}-${each.key}" }
}
