"""What starts runs: events are received, verified, kept, gathered over a quiet period, and submitted as one run."""
