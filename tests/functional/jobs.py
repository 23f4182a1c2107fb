"""What the requests of all jobs name, and how jobs end."""

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.6.0-cpu-py312"
ROLE = "arn:aws:iam::123456789012:role/scones"
FINAL = ("Completed", "Failed", "Stopped")
