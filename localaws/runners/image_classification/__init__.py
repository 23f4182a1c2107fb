"""A stand-in for SageMaker's built-in image classification: its contract, and a small network of our own."""
