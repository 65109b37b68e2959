# What each service account of evernas may do in AWS, and why; nothing is allowed that is not written here.
#
# Kubeflow Pipelines gives one account to a run and none to a step. So the accounts follow what must not mix: ingest
# sees all data, training never sees the held-out part, and decision and promotion run in the release's namespace, out of reach
# of both.

locals {
  bucket  = "arn:${var.partition}:s3:::${var.bucket_name}"
  objects = { for role, prefix in var.prefixes : role => "${local.bucket}/${prefix}*" }

  # Under candidates/ lie places that several accounts share: KFP's pipeline root, which its launcher reads and writes
  # in every pod of a run, and the state of runs (finished steps and the project's lease).
  pipeline_root = "${local.bucket}/${var.prefixes.candidates}kfp/*"
  state         = "${local.bucket}/${var.prefixes.candidates}state/*"

  # The journal of each project, where the config's registry.journal is not a database.
  journal = "${var.prefixes.registry}*/journal/*"

  # What the receiver follows of a project: whether a run works, what waits, what a month has cost, what is to be told,
  # and whether a backup is being put back, in which case it tells nothing.
  followed = ["lease/*", "handed-over/*", "costs/*", "notices/*", "restoring.json"]

  read = ["s3:GetObject"]
  write = [
    # Objects, and the parts that a large file is sent in.
    "s3:PutObject",
    # An upload in parts that fails is ended, or its parts would be kept, and paid for, unseen.
    "s3:AbortMultipartUpload",
    # Whether any part is left then: one that was on its way may come after the end.
    "s3:ListMultipartUploadParts",
  ]
  # Nobody here has s3:ListBucketMultipartUploads, which S3 grants for all prefixes or none: it would tell training names in
  # gate/ and registry/. What killed uploads leave goes by the bucket's lifecycle, or by a person's `evernas gc --state`.

  list = {
    for role, names in {
      raw        = ["${var.prefixes.raw}*"]
      snapshots  = ["${var.prefixes.snapshots}*"]
      candidates = ["${var.prefixes.candidates}*"]
      gate       = ["${var.prefixes.gate}*"]
      registry   = ["${var.prefixes.registry}*"]
      journal    = [local.journal]
      state      = ["${var.prefixes.candidates}state/*"]
      followed   = [for part in local.followed : "${var.prefixes.candidates}state/*/${part}"]
      mlflow     = ["${var.prefixes.mlflow}*"]
      kfp        = ["${var.prefixes.candidates}kfp/*"]
      } : role => {
      Sid      = "List${title(role)}"
      Effect   = "Allow"
      Action   = "s3:ListBucket"
      Resource = local.bucket
      # Names under these prefixes only.
      Condition = var.list_whole_bucket ? { Bool = { "aws:SecureTransport" = ["true"] } } : { StringLike = { "s3:prefix" = names } }
    }
  }

  # Through S3 alone: the key opens what S3 hands out, and is no oracle for anything else.
  key = {
    for use, actions in { read = ["kms:Decrypt"], write = ["kms:Decrypt", "kms:GenerateDataKey"] } : use => {
      Sid                      = "Key"
      Effect                   = "Allow"
      Action                   = actions
      Resource                 = var.data_key_arn
      Condition                = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
    }
  }

  accounts = {
    ingest = {
      namespace = var.runs_namespace
      statements = [
        # It lists for itself what is new: an event's body is a hint and names no object to read.
        local.list.raw,
        { Sid = "ReadRaw", Effect = "Allow", Action = local.read, Resource = local.objects.raw },
        # A snapshot is compared with its parent, and only what is new is written.
        local.list.snapshots,
        { Sid = "KeepSnapshots", Effect = "Allow", Action = concat(local.read, local.write), Resource = local.objects.snapshots },
        # Held-out rows go here and are not read again: no GetObject.
        { Sid = "FillGate", Effect = "Allow", Action = local.write, Resource = local.objects.gate },
        # Its step's outputs through KFP's launcher, its completion marker, and the project's lease.
        local.list.kfp,
        local.list.state,
        { Sid = "KeepItsStep", Effect = "Allow", Action = concat(local.read, local.write), Resource = [local.pipeline_root, local.state] },
        # A lease that is given back is deleted.
        { Sid = "ReleaseLease", Effect = "Allow", Action = "s3:DeleteObject", Resource = local.state },
        local.key.write,
      ]
    }

    training = {
      namespace = var.runs_namespace
      statements = [
        # Train and search splits. Not raw/, which holds the gate's rows too; not gate/; and not registry/, whose bytes
        # it could otherwise learn to imitate or replace: the champion that it measures again lies in candidates/ too.
        local.list.snapshots,
        { Sid = "ReadSnapshots", Effect = "Allow", Action = local.read, Resource = local.objects.snapshots },
        # Checkpoints, candidates, reports, KFP's own files and the lease.
        local.list.candidates,
        { Sid = "KeepCandidates", Effect = "Allow", Action = concat(local.read, local.write), Resource = local.objects.candidates },
        # Older checkpoints go when a newer one is whole, and a lease when the run ends; versions stay for noncurrent_days.
        { Sid = "DropCandidates", Effect = "Allow", Action = "s3:DeleteObject", Resource = local.objects.candidates },
        local.key.write,
      ]
    }

    decider = {
      namespace = var.release_namespace
      statements = [
        # What it judges: named by digests, so that what was judged is what was made.
        local.list.candidates,
        { Sid = "ReadCandidates", Effect = "Allow", Action = local.read, Resource = local.objects.candidates },
        # The manifest that says which rows are held out, and which splits they belong to.
        local.list.snapshots,
        { Sid = "ReadSnapshots", Effect = "Allow", Action = local.read, Resource = local.objects.snapshots },
        # The only account that reads held-out rows, and it cannot change them.
        local.list.gate,
        { Sid = "ReadGate", Effect = "Allow", Action = local.read, Resource = local.objects.gate },
        # The journal, the ledger and the champions' bytes. No delete: a champion is replaced by a later entry.
        local.list.registry,
        { Sid = "WriteRegistry", Effect = "Allow", Action = concat(local.read, local.write), Resource = local.objects.registry },
        # What a decision under way had come to, which lies beside its verdict until that is whole. Of a verdict nothing.
        { Sid = "ForgetWork", Effect = "Allow", Action = "s3:DeleteObject", Resource = "${local.objects.registry}/steps/gate/*/work/*" },
        # The run's result, where the next begins, and its lease.
        { Sid = "EndRun", Effect = "Allow", Action = local.write, Resource = local.state },
        # What was handed over and is decided goes, as does the note that the run is to be asked for again; and the marker of
        # a step whose output was damaged, so that the next run makes it anew.
        {
          Sid      = "SettleRun"
          Effect   = "Allow"
          Action   = "s3:DeleteObject"
          Resource = [for part in ["handed-over/*", "lease/deferred/*", "steps/*/done.json"] : "${local.state}/${part}"]
        },
        local.key.write,
      ]
    }

    promoter = {
      namespace = var.release_namespace
      statements = [
        # A signed verdict and the bytes that it names come from MLflow, so that nothing of the state is read. The journal,
        # where it lies here; no delete: a champion is replaced by a later entry.
        local.list.journal,
        { Sid = "WriteJournal", Effect = "Allow", Action = concat(local.read, local.write), Resource = "${local.bucket}/${local.journal}" },
        local.key.write,
      ]
    }

    receiver = {
      namespace = var.release_namespace
      statements = [
        # Events about new data. It posts none.
        {
          Sid      = "TakeEvents"
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = "arn:${var.partition}:sqs:${var.region}:${var.account_id}:${var.queue_name}"
        },
        # No data, and nothing that a run has made: an event is a hint.
        local.list.followed,
        { Sid = "FollowRuns", Effect = "Allow", Action = local.read, Resource = [for part in local.followed : "${local.state}/${part}"] },
        # The journal, from which the outbox tells of new champions.
        local.list.journal,
        { Sid = "ReadJournal", Effect = "Allow", Action = local.read, Resource = "${local.bucket}/${local.journal}" },
        # The lease of a run that failed is ended; it claims none. What events say was removed is noted for the next run.
        {
          Sid      = "EndFailedRuns"
          Effect   = "Allow"
          Action   = local.write
          Resource = [for part in ["lease/claims/*.renewed", "lease/removed/*"] : "${local.state}/${part}"]
        },
        # What nobody could decide on, what is asked for again, and what the outbox has.
        {
          Sid      = "SettleRuns"
          Effect   = "Allow"
          Action   = "s3:DeleteObject"
          Resource = [for part in ["handed-over/*", "lease/deferred/*", "notices/*"] : "${local.state}/${part}"]
        },
        local.key.write,
      ]
    }

    mlflow = {
      namespace = var.release_namespace
      statements = [
        # Artifacts that clients send through the server, so that no client needs keys for them. No delete: a record is kept.
        local.list.mlflow,
        { Sid = "KeepArtifacts", Effect = "Allow", Action = concat(local.read, local.write), Resource = local.objects.mlflow },
        local.key.write,
      ]
    }
  }
}

module "role" {
  source   = "../pod-role"
  for_each = local.accounts

  name            = "${var.name}-${each.key}"
  cluster_arn     = var.cluster_arn
  cluster_name    = var.cluster_name
  namespace       = each.value.namespace
  service_account = "${var.service_account_prefix}-${each.key}"
  statements      = each.value.statements
}
