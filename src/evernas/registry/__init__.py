"""MLflow tracking and models, and the journal of champions, which is the truth that MLflow's aliases project."""
