"""What happens in a training step: models, losses and data combined, one Lightning module per kind of experiment."""
