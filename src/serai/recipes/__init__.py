"""The training and statistics programs that come with serai, each a small class that yours can stand beside."""
