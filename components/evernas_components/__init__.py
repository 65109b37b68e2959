"""The loop's steps as KFP components: each a few lines that start the step in the library, and nothing else."""
