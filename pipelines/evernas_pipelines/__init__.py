"""The KFP pipelines of evernas: one definition that runs on a laptop and on a cluster."""
