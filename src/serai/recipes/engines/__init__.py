"""What trains a model at one member: numpy, PyTorch on any chip, or scikit-learn, behind the same four methods."""
