output "bucket" {
  description = "Name of the data bucket."
  value       = aws_s3_bucket.data.id
}

output "queue_url" {
  description = "Queue of events about new data, for a trigger source of kind sqs."
  value       = aws_sqs_queue.events.url
}

output "dead_queue_url" {
  description = "Queue of messages that could not be taken."
  value       = aws_sqs_queue.dead.url
}

output "bucket_policy" {
  description = "The data bucket's own policy as JSON, for tests and reviews."
  value       = aws_s3_bucket_policy.data.policy
}
