"""What a training script stands on: launch, runs, checkpoints, reports, workers."""
